package content_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
)

func TestParsePlatform(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"linux/amd64", "linux/amd64"},
		{"arm64", "linux/arm64"},
		{" Linux/ARM64/v8 ", "linux/arm64"},
		{"linux/arm/v7", "linux/arm/v7"},
		{"linux/x86_64", "linux/amd64"},
		{"aarch64", "linux/arm64"},
		{"i386", "linux/386"},
		{"armhf", "linux/arm/v7"},
		{"macos/arm64", "darwin/arm64"},
		{"wasi/wasm", "wasi/wasm"},
		{"linux/loong64", "linux/loong64"},

		{"Windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"},
		{"windows(10.0.20348.2340)/amd64", "windows(10.0.20348.2340)/amd64"},
		{"Windows/x86_64:10.0.17763", "windows(10.0.17763)/amd64"},
	} {
		p, err := content.ParsePlatform(test.text)
		if got := content.FormatPlatform(p); err != nil || got != test.want {
			t.Errorf("%q: got %s, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	var said strings.Builder
	for _, text := range []string{
		"windows(ltsc2022)/amd64",
		"windows(10.0)/amd64",
		"windows(10.0.20348/amd64",
		"windows(10.0.20348+win32k)/amd64",
		"windows()/amd64",
		"windows/amd64:",
		"windows/amd64:10.0",
		"windows(10.0.17763)/amd64:10.0.17763",
		"windows/amd64:10.0.17763)/arm",
		"linux/amd64:6.1.0",
		"linux(5.10.1)/amd64",
		"windows(10.0.20348)",
		"linux/amd46",
		"arm46",
		"linus/amd64",
		"linux/z80000",
		"linux",
		"",
		"linux//v8",
		"linux/arm/v7/x",
		"linux/ämd64",
	} {
		p, err := content.ParsePlatform(text)
		if err == nil {
			t.Errorf("%q: got %s", text, content.FormatPlatform(p))
		}
		fmt.Fprintln(&said, err)
	}
	golden.Text(t, said.String())
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
