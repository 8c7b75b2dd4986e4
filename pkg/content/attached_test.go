package content_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

func TestIsAttachedTag(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]bool{
		content.FallbackTag(digest.FromString("x")):        true,
		content.FallbackTag(digest.SHA512.FromString("x")): true,
		"sha256-" + hex + ".sig":                           true,
		"sha256-" + hex + ".sbom":                          true,
		"sha256-" + hex[1:]:                                false,
		"sha256-" + hex + "x":                              false,
		"latest":                                           false,
		"sha256-1.2":                                       false,
	} {
		if got := content.IsAttachedTag(tag); got != want {
			t.Errorf("IsAttachedTag(%q) = %v, want %v", tag, got, want)
		}
	}
}
