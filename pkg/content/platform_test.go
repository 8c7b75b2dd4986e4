package content_test

import (
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

func TestParsePlatform(t *testing.T) {
	const malformed = "want os/arch or os/arch/variant, as linux/arm64"
	for _, test := range []struct{ text, want, err string }{
		{text: "linux/amd64", want: "linux/amd64"},
		{text: "arm64", want: "linux/arm64"},
		{text: " Linux/ARM64/v8 ", want: "linux/arm64"},
		{text: "linux/arm/v7", want: "linux/arm/v7"},
		{text: "linux/x86_64", want: "linux/amd64"},
		{text: "aarch64", want: "linux/arm64"},
		{text: "i386", want: "linux/386"},
		{text: "armhf", want: "linux/arm/v7"},
		{text: "macos/arm64", want: "darwin/arm64"},
		{text: "wasi/wasm", want: "wasi/wasm"},
		{text: "linux/loong64", want: "linux/loong64"},

		{text: "linux/amd46", err: "no architecture is called amd46; did you mean amd64?"},
		{text: "arm46", err: "no architecture is called arm46; did you mean arm64?"},
		{text: "linus/amd64", err: "no operating system is called linus; did you mean linux?"},
		{text: "linux/z80000", err: "no architecture is called z80000"},
		{text: "linux", err: malformed},
		{text: "", err: malformed},
		{text: "linux//v8", err: malformed},
		{text: "linux/arm/v7/x", err: malformed},
		{text: "linux/ämd64", err: malformed},
	} {
		p, err := content.ParsePlatform(test.text)
		if test.err != "" {
			if err == nil || !strings.HasSuffix(err.Error(), test.err) {
				t.Errorf("%q: got %v, want %q", test.text, err, test.err)
			}
			continue
		}
		if got := content.FormatPlatform(p); err != nil || got != test.want {
			t.Errorf("%q: got %s, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestParsePlatforms(t *testing.T) {
	platforms, err := content.ParsePlatforms("linux/amd64,arm64")
	if err != nil || len(platforms) != 2 || content.FormatPlatform(platforms[1]) != "linux/arm64" {
		t.Errorf("got %v, %v", platforms, err)
	}
	if _, err := content.ParsePlatforms("linux/amd64,"); err == nil {
		t.Error("an empty platform is none")
	}
}

// TestMatchPlatform: what an index states may be anything, and is matched as it is.
func TestMatchPlatform(t *testing.T) {
	arm := func(variant string) content.Platform {
		return content.Platform{OS: "linux", Architecture: "arm", Variant: variant}
	}
	strange := content.Platform{OS: "unknown", Architecture: "unknown"}
	for _, test := range []struct {
		want, have content.Platform
		match      bool
	}{
		{arm(""), arm("v7"), true},
		{arm("v7"), arm("v7"), true},
		{arm("v7"), arm("v6"), false},
		{arm("v7"), arm(""), false},
		{content.Platform{OS: "linux", Architecture: "arm64"}, content.Platform{OS: "Linux", Architecture: "aarch64", Variant: "v8"}, true},
		{strange, strange, true},
		{arm(""), strange, false},
	} {
		if got := content.MatchPlatform(test.want, test.have); got != test.match {
			t.Errorf("%s, %s: got %v", content.FormatPlatform(test.want), content.FormatPlatform(test.have), got)
		}
	}
}
