package content_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// The algorithm has 32 characters at most and the digest 64 (OCI distribution specification,
// "Referrers Tag Schema"): a whole sha512 makes no tag.
func TestFallbackTag(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		d := algorithm.FromString("x")
		tag := content.FallbackTag(d)
		if want := algorithm.String() + "-" + d.Encoded()[:64]; tag != want {
			t.Errorf("FallbackTag(%s) = %q, want %q", d, tag, want)
		}
		if err := content.CheckTag(tag); err != nil {
			t.Error(err)
		}
	}
}

func TestIsAttachedTag(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]bool{
		content.FallbackTag(digest.FromString("x")):        true,
		content.FallbackTag(digest.SHA384.FromString("x")): true,
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
