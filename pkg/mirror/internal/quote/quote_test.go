package quote_test

import (
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

func TestWord(t *testing.T) {
	for word, want := range map[string]string{
		"latest":                  "`latest`",
		"镜像":                      "`镜像`",
		"a\x1b[31m\nb":            "`a?[31m?b`",
		strings.Repeat("é", 80):   "`" + strings.Repeat("é", 80) + "`",
		strings.Repeat("é", 1000): "`" + strings.Repeat("é", 80) + "…`",
	} {
		if got := quote.Word(word); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
