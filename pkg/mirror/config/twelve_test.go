package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// TestTwelveMistakes: twelve mistakes are twelve messages, each with its line, and there is
// no other.
func TestTwelveMistakes(t *testing.T) {
	raw, err := os.ReadFile("testdata/twelve.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{}
	for i, line := range strings.Split(string(raw), "\n") {
		if _, told, found := strings.Cut(line, "# told: "); found {
			want[i+1] = told
		}
	}
	if len(want) != 12 {
		t.Fatalf("the file has %d mistakes", len(want))
	}
	_, err = config.Load([]string{"testdata/twelve.yaml"}, config.Options{Env: environment()})
	list, ok := errors.AsType[*config.Errors](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	for _, p := range list.Problems {
		told, expected := want[p.Line]
		if !expected || !strings.Contains(p.String(), told) || p.Excerpt == "" {
			t.Errorf("got:\n%v\nwant %q", p, told)
		}
		delete(want, p.Line)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}
