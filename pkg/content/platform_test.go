package content_test

import (
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

func TestParsePlatform(t *testing.T) {
	const malformed = "want os/arch or os/arch/variant, as linux/arm64"
	const version = "want a Windows version of three or four numbers, as in windows(10.0.20348)/amd64"
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

		{text: "Windows(10.0.17763)/amd64", want: "windows(10.0.17763)/amd64"},
		{text: "windows(10.0.20348.2340)/amd64", want: "windows(10.0.20348.2340)/amd64"},
		{text: "Windows/x86_64:10.0.17763", want: "windows(10.0.17763)/amd64"},

		{text: "windows(ltsc2022)/amd64", err: version},
		{text: "windows(10.0)/amd64", err: version},
		{text: "windows(10.0.20348/amd64", err: version},
		{text: "windows(10.0.20348+win32k)/amd64", err: version},
		{text: "windows()/amd64", err: version},
		{text: "windows/amd64:", err: version},
		{text: "windows/amd64:10.0", err: version},
		{text: "windows(10.0.17763)/amd64:10.0.17763", err: malformed},
		{text: "windows/amd64:10.0.17763)/arm", err: malformed},
		{text: "linux/amd64:6.1.0", err: malformed},
		{text: "linux(5.10.1)/amd64", err: version},
		{text: "windows(10.0.20348)", err: malformed},
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
	windows := func(version string) content.Platform {
		return content.Platform{OS: "windows", Architecture: "amd64", OSVersion: version}
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
		{windows(""), windows("10.0.17763.1"), true},
		{windows("10.0.17763"), windows(""), true},
		{windows("10.0.17763"), windows("10.0.17763.2686"), true},
		{windows("10.0.17763.1"), windows("10.0.17763.2686"), true},
		{windows("10.0.17763"), windows("10.0.17764"), false},
		{windows("10.0.17763"), windows("10.0.177630"), false},
		{windows("10.0.17763"), windows("ltsc2019"), false},
		{windows("10.0.19045"), windows("10.0.17763"), false},
		{windows("10.0.20348"), windows("10.0.17763.2686"), false},
		{windows("10.0.20348"), windows("10.0.20348.1"), true},
		{windows("10.0.20348"), windows("10.0.26100.1"), false},
		{windows("10.0.26100"), windows("10.0.20348.1"), true},
		{windows("10.0.26100"), windows("10.0.17763.1"), false},
		{windows("10.0.20348"), windows("6.1.20348"), false},
		{arm(""), strange, false},
	} {
		if got := content.MatchPlatform(test.want, test.have); got != test.match {
			t.Errorf("%s, %s: got %v", content.FormatPlatform(test.want), content.FormatPlatform(test.have), got)
		}
	}
}

func TestPreferPlatform(t *testing.T) {
	for _, test := range []struct {
		children []content.Platform
		want     int
	}{
		{[]content.Platform{{Variant: "v6"}, {Variant: "v7"}}, 1},
		{[]content.Platform{{Variant: "v7"}, {}}, 1},
		{[]content.Platform{{}, {Variant: "v7"}}, 0},
		{[]content.Platform{{OSVersion: "10.0.9000.1"}, {OSVersion: "10.0.20348.1"}, {OSVersion: "10.0.17763.1"}}, 1},
		{[]content.Platform{{OSVersion: "10.0.20348.9"}, {OSVersion: "10.0.20348.10"}}, 1},
		{[]content.Platform{{OSVersion: "10.0.20348"}, {}}, 0},
		{[]content.Platform{{}, {}}, 0},
	} {
		var children []content.Descriptor
		for i := range test.children {
			children = append(children, content.Descriptor{Size: int64(i), Platform: &test.children[i]})
		}
		if got := content.PreferPlatform(children).Size; got != int64(test.want) {
			t.Errorf("%v: got %d, want %d", test.children, got, test.want)
		}
	}
}
