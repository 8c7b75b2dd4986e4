package config_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/transfer"
)

// loadOn is load on a day.
func loadOn(t *testing.T, text string, day time.Time) *config.Config {
	t.Helper()
	cfg, err := config.Load([]string{"-"}, config.Options{
		Env: environment(), Stdin: strings.NewReader(text), Now: func() time.Time { return day },
	})
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	return cfg
}

func TestPolicies(t *testing.T) {
	cfg := mustLoad(t, `
version: 1
defaults: {to: 'a.b/{{.Base}}', overwrite: never, timeout: 2d, referrers: [application/spdx+json]}
sync:
  - {from: nginx, requirePlatforms: true, platforms: [linux/amd64], immutable: ['v*.*.*', latest], maxSize: 5GiB, timeout: 1h30m, referrers: changed, overwrite: newer}
  - {from: httpd, maxSize: 500MB, platforms: [linux/arm64], ignoreMissingPlatforms: true}
`)
	var said strings.Builder
	for _, e := range cfg.Entries {
		fmt.Fprintf(&said, "%v %v %s %v %v %d %v\n", e.RequirePlatforms, e.IgnoreMissingPlatforms, e.Overwrite, e.Referrers, e.Immutable, e.MaxSize, e.Timeout)
	}
	golden.Text(t, said.String())
}

// TestWindows: a version of Windows, as buildx or containerd writes it, selects by os.version
// among the images of an index for Windows.
func TestWindows(t *testing.T) {
	image := func(version string) content.Platform {
		return content.Platform{OS: "windows", Architecture: "amd64", OSVersion: version}
	}
	index := []content.Platform{image("10.0.17763.6893"), image("10.0.20348.3207"), image("10.0.26100.3194"), {OS: "linux", Architecture: "amd64"}}
	for written, want := range map[string][]string{
		"windows/amd64:10.0.17763":      {"10.0.17763.6893"},
		"windows(10.0.17763)/amd64":     {"10.0.17763.6893"},
		"windows/amd64:10.0.26100":      {"10.0.20348.3207", "10.0.26100.3194"},
		"windows/amd64:10.0.17763.6893": {"10.0.17763.6893"},
		"windows/amd64":                 {"10.0.17763.6893", "10.0.20348.3207", "10.0.26100.3194"},
	} {
		e := mustLoad(t, entry("from: nginx, to: a.b/n, platforms: ['"+written+"']")).Entries[0]
		var got []string
		for _, have := range index {
			if content.MatchPlatform(e.Platforms[0], have) {
				got = append(got, have.OSVersion)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s takes %v, want %v", written, got, want)
		}
	}
}

func TestAttestations(t *testing.T) {
	for said, want := range map[string]transfer.Attestations{
		"": transfer.AttestationsDrop, ", attestations: auto": transfer.AttestationsAuto, ", attestations: true": transfer.AttestationsAuto,
		", attestations: keep": transfer.AttestationsKeep, ", attestations: drop": transfer.AttestationsDrop, ", attestations: false": transfer.AttestationsDrop,
		", attestations: '${NOT_SET:-False}'": transfer.AttestationsDrop,
	} {
		e := mustLoad(t, "version: 1\ndefaults: {to: 'a.b/{{.Base}}', attestations: drop, requireSource: true}\nsync: [{from: nginx"+said+"}]\n").Entries[0]
		if e.Attestations != want || !e.RequireSource {
			t.Errorf("%q: got %q, want %q", said, e.Attestations, want)
		}
	}
}

func TestVerify(t *testing.T) {
	for said, want := range map[string]int{
		"": 20, ", verify: always": 0, ", verify: sampled": 20, ", verify: {sampled: 10%}": 10, ", verify: {sampled: 3%}": 33, ", verify: {sampled: 100%}": 1,
		", verify: '${NOT_SET:-always}'": 0,
	} {
		cfg := mustLoad(t, "version: 1\ndefaults: {to: 'a.b/{{.Base}}', verify: sampled}\nsync: [{from: nginx"+said+"}]\n")
		if got := cfg.Entries[0].VerifyEvery; got != want {
			t.Errorf("%q: each tag once in %d runs, want %d", said, got, want)
		}
	}
}

// What an entry says of referrers replaces the whole default.
func TestReferrers(t *testing.T) {
	const defaults = "version: 1\ndefaults: {to: 'a.b/{{.Base}}', referrers: {types: [a/b, c/d], required: true}}\n"
	for _, test := range []struct {
		said string
		want config.Referrers
	}{
		{"", config.Referrers{Bring: true, Required: true, Types: []string{"a/b", "c/d"}}},
		{", referrers: true", config.Referrers{Bring: true}},
		{", referrers: false", config.Referrers{}},
		{", referrers: required", config.Referrers{Bring: true, Required: true}},
		{", referrers: changed", config.Referrers{Bring: true, OnCopy: true}},
		{", referrers: [e/f]", config.Referrers{Bring: true, Types: []string{"e/f"}}},
		{", referrers: {required: true, changed: true}", config.Referrers{Bring: true, Required: true, OnCopy: true}},
		{", referrers: {types: ['${NOT_SET:-e/f}'], changed: '${NOT_SET:-true}'}", config.Referrers{Bring: true, OnCopy: true, Types: []string{"e/f"}}},
		{", referrers: {required: false}", config.Referrers{Bring: true}},
		{", referrers: '${NOT_SET:-false}'", config.Referrers{}},
	} {
		cfg := mustLoad(t, defaults+"sync: [{from: nginx"+test.said+"}]\n")
		if got := cfg.Entries[0].Referrers; !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %+v, want %+v", test.said, got, test.want)
		}
	}
}

func TestQuantities(t *testing.T) {
	for _, test := range []struct {
		size string
		want int64
	}{
		{"5GiB", 5 << 30}, {"5GB", 5e9}, {"5g", 5e9}, {"1.5 MiB", 3 << 19}, {"500MB", 500e6}, {"1000000", 1e6}, {"10B", 10}, {"1tib", 1 << 40}, {"5Gi", 5 << 30},
	} {
		cfg := mustLoad(t, entry("from: nginx, to: a.b/n, maxSize: "+test.size))
		if got := cfg.Entries[0].MaxSize; got != test.want {
			t.Errorf("%s: got %d, want %d", test.size, got, test.want)
		}
	}
	for _, test := range []struct {
		time string
		want time.Duration
	}{
		{"90s", 90 * time.Second}, {"1h30m", 90 * time.Minute}, {"2d", 48 * time.Hour}, {"1w2d12h", (9*24 + 12) * time.Hour}, {"0.5d", 12 * time.Hour}, {"1500ms", 1500 * time.Millisecond},
	} {
		cfg := mustLoad(t, entry("from: nginx, to: a.b/n, timeout: "+test.time))
		if got := cfg.Entries[0].Timeout; got != test.want {
			t.Errorf("%s: got %s, want %s", test.time, got, test.want)
		}
	}
}

func TestSelectorBlocks(t *testing.T) {
	cfg := mustLoad(t, entry("from: nginx, to: a.b/n, tags: [{include: [latest]}, "+
		"{semver: '>=1.25 <2', variants: 'alpine*', newest: {count: 5, by: created}, createdWithin: 90d, olderThan: 36h, pushedWithin: 12w, exclude: ['*-perl']}, {newest: 3}]"))
	tags := cfg.Entries[0].Tags
	if len(tags) != 3 || fmt.Sprint(tags[0].Include) != "[latest]" || tags[2].Newest.Count != 3 {
		t.Fatalf("got %+v", tags)
	}
	b := tags[1]
	golden.Text(t, fmt.Sprint(b.Semver, b.Variants, b.Newest, b.CreatedWithin, b.OlderThan, b.PushedWithin, b.Exclude))
}

// TestRenamed: a destination without a tag takes the renamed one; the day is that in UTC.
func TestRenamed(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	day := time.Date(2026, 11, 22, 1, 0, 0, 0, time.FixedZone("", 8*3600))
	for _, test := range []struct{ from, to, rename, want string }{
		{"nginx:1", "a.b/x", "{{.Tag}}-cn", "a.b/x:1-cn"},
		{"nginx:1", "a.b:5000/x", "{{.Base}}-{{.Tag}}", "a.b:5000/x:nginx-1"},
		{"nginx:1", "oci:/srv/{{.Base}}", "{{.Tag}}-{{.Date}}", "oci:/srv/nginx:1-2026-11-21"},
		{"nginx:1", "a.b/{{.Date}}/x", "{{.Tag}}", "a.b/2026-11-21/x:1"},
		{"nginx:1@" + digest, "a.b/x", "{{.Tag}}-cn", "a.b/x:1-cn"},
		{"nginx@" + digest, "a.b/x", "{{.Tag}}-cn", "a.b/x@" + digest},
		{"nginx@" + digest, "a.b/x", "pinned", "a.b/x:pinned"},
	} {
		cfg := loadOn(t, entry(fmt.Sprintf("from: '%s', to: '%s', rename: '%s'", test.from, test.to, test.rename)), day)
		e := cfg.Entries[0]
		got, err := e.Destinations[0].Reference(e.Sources[0].Reference)
		if err != nil || got.Familiar() != test.want {
			t.Errorf("%+v: got %s, %v", test, got.Familiar(), err)
		}
	}
}

// TestRenameOfDefaults: entries share the destinations of the defaults, and each has its own
// rename.
func TestRenameOfDefaults(t *testing.T) {
	cfg := mustLoad(t, `
version: 1
defaults: {to: ['a.b/{{.Base}}'], rename: '{{.Tag}}-cn'}
sync:
  - {from: 'nginx:1'}
  - {from: 'nginx:2', rename: '{{.Tag}}-eu'}
  - {from: 'nginx:3', to: 'a.b/x:stable'}
`)
	for i, want := range []string{"a.b/nginx:1-cn", "a.b/nginx:2-eu", "a.b/x:stable"} {
		e := cfg.Entries[i]
		got, err := e.Destinations[0].Reference(e.Sources[0].Reference)
		if err != nil || got.Familiar() != want {
			t.Errorf("got %s, %v, want %s", got.Familiar(), err, want)
		}
	}
}

func TestSources(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ from, want string }{
		{"docker.io/library/{nginx,httpd}", "nginx httpd"},
		{"nginx:{1.27, 1.28}", "nginx:1.27 nginx:1.28"},
		{"{a,b}.example/{x,y}:1", "a.example/x:1 a.example/y:1 b.example/x:1 b.example/y:1"},
		{"nginx:1{,-perl}", "nginx:1 nginx:1-perl"},
		{"oci:./{in,out}:1", "oci:" + here + "/in:1 oci:" + here + "/out:1"},
		{"harbor.corp/team/*", "pattern harbor.corp/team/*"},
		{"harbor.corp:5443/*/base-*", "pattern harbor.corp:5443/*/base-*"},
		{"docker://harbor.corp/{a,b}/[!x]?", "pattern harbor.corp/a/[!x]? pattern harbor.corp/b/[!x]?"},
		{"team/*", "pattern docker.io/team/*"},
		{"nginx*", "pattern docker.io/library/nginx*"},
		{"[::1]:5000/*", "pattern [::1]:5000/*"},
	} {
		to := ", to: 'x.example/{{.Base}}'"
		if strings.HasPrefix(test.from, "{a,b}.example") {
			to = ", to: 'x.example/{{.Registry}}/{{.Base}}'" // else both would be written to one place
		}
		dir := t.TempDir()
		write(t, dir, "images.txt", strings.ReplaceAll(test.from, "./", here+"/")+"\n")
		listed, err := config.Load([]string{write(t, dir, "c.yaml", entry("fromFile: images.txt"+to))}, config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for way, e := range map[string]config.Entry{
			"from":     mustLoad(t, entry("from: '"+test.from+"'"+to)).Entries[0],
			"fromFile": listed.Entries[0],
		} {
			var got []string
			for _, s := range e.Sources {
				if s.Glob != "" {
					if !s.IsRepository() || s.Reference.Repository != "" {
						t.Errorf("%s %s: got %+v", way, test.from, s)
					}
					got = append(got, "pattern")
				}
				got = append(got, s.String())
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s %s: got %q, want %s", way, test.from, got, test.want)
			}
		}
	}
}

// TestLists: problems of a list are at its lines; a list without images is a problem of the
// entry.
func TestLists(t *testing.T) {
	for text, want := range map[string]string{
		"nginx:1\n${HOST}/x\n":           "images.txt:2:1",
		"# none\n\n":                     "c.yaml:2:19",
		"a.b/team/*\n!a.b/team/[x\n":     "images.txt:2:1",
		"a.b/team/x\n\n !a.b/team/old\n": "images.txt:3:2",
	} {
		dir := t.TempDir()
		write(t, dir, "images.txt", text)
		_, err := config.Load([]string{write(t, dir, "c.yaml", entry("fromFile: images.txt, to: 'c.d/{{.Repository}}'"))}, config.Options{})
		list, ok := errors.AsType[*config.Errors](err)
		if !ok || len(list.Problems) != 1 || filepath.Base(list.Problems[0].Position.String()) != want {
			t.Errorf("%q: got %v, want a problem at %q", text, err, want)
		}
	}
}
