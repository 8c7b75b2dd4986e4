package config_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
)

// entry is a configuration of one entry whose keys are given, on line 2.
func entry(keys string) string { return "version: 1\nsync: [{" + keys + "}]\n" }

// two is one of two entries, on lines 3 and 4.
func two(first, second string) string {
	return "version: 1\nsync:\n  - {" + first + "}\n  - {" + second + "}\n"
}

// rule is a text with one mistake, at a line and column, or with none where at is empty.
type rule struct{ name, text, at string }

// TestProblems: each mistake is one problem at its place. Their texts are in
// testdata/problems.golden.
func TestProblems(t *testing.T) {
	var said strings.Builder
	for _, group := range []struct {
		name  string
		rules []rule
	}{
		{"file", fileRules()},
		{"rename", renameRules()},
		{"values", valueRules()},
		{"tags", tagRules()},
		{"from", fromRules()},
		{"merge keys", mergeRules()},
		{"collisions", collisionRules()},
		{"cycles", cycleRules()},
		{"lookalikes", lookalikeRules()},
		{"other tools", foreignRules()}, {"exclusions", exclusionRules()},
	} {
		for _, r := range group.rules {
			t.Run(group.name+"/"+r.name, func(t *testing.T) {
				_, err := load(t, r.text)
				if err == nil && r.at == "" {
					return
				}
				list, ok := errors.AsType[*config.Errors](err)
				switch {
				case !ok:
					t.Fatalf("%s\ngives %v, want a problem at %s", r.text, err, r.at)
				case len(list.Problems) != 1:
					t.Errorf("%s\ngives %d problems, want one:\n%v", r.text, len(list.Problems), err)
				}
				p := list.Problems[0]
				if at := fmt.Sprintf("%d:%d", p.Line, p.Column); at != r.at {
					t.Errorf("%s\ngives at %s:\n%v\nwant it at %s", r.text, at, err, r.at)
				}
				fmt.Fprintf(&said, "## %s: %s\n%v\n", group.name, r.name, err)
			})
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Load([]string{"testdata/mistakes.yaml"}, config.Options{Env: environment("REGISTRY", "Top Secret")})
	fmt.Fprintf(&said, "## mistakes.yaml\n%v\n", err)
	for _, secret := range []string{"hunter2", "really", "Top Secret"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("the errors show the secret %q", secret)
		}
	}
	golden.File(t, "problems", strings.ReplaceAll(said.String(), here, "DIR"))
}

func fileRules() []rule {
	const head = "version: 1\nsync:\n  - {from: nginx, to: x.example/n}\n"
	return []rule{
		{"empty", "", "0:0"},
		{"comments only", "# nothing\n", "0:0"},
		{"null", "null\n", "1:1"},
		{"a list", "- a\n", "1:1"},
		{"no version", "sync: [{from: nginx, to: x.example/n}]\n", "1:1"},
		{"version as text", `version: "1"` + "\nsync: [{from: nginx, to: x.example/n}]\n", "1:10"},
		{"sync without entries", "version: 1\nsync: []\n", "2:7"},
		{"sync without value", "version: 1\nsync:\n", "2:6"},
		{"an unknown platform", "version: 1\nsync: [{from: nginx, to: x.example/n, platforms: [linux/amd46]}]\n", "2:51"},
		{"an unknown key like none", head + "hooks: {}\n", "4:1"},
		{"an unknown default", head + "defaults: {hooks: 1}\n", "4:12"},
		{"a default of entries only", head + "defaults: {name: x}\n", "4:12"},
		{"a key that is longer", head + "registries: {a.example: {caFile: x}}\n", "4:26"},
		{"a key that is shorter", head + "registries: {a.example: {User: x, password: y}}\n", "4:26"},
		{"a key of other tools", head + "registries: {a.example: {insecure: true}}\n", "4:26"},
		{"an entry in others' words", "version: 1\nsync: [{source: nginx, to: x.example/n}]\n", "2:9"},
		{"a variable in a key", "version: 1\nregistries:\n  ${HOST}: {tls: disabled}\n", "3:3"},
		{"second document", head + "---\nversion: 1\n", "4:1"},
		{"repeated key", head + "version: 1\n", "4:1"},
		{"tab", "version: 1\nsync:\n\t- from: nginx\n", "3:1"},
		{"unquoted star", "version: 1\nsync:\n  - from: nginx\n    to: x.example/n\n    tags: {include: [*-perl]}\n", "5:22"},
		{"unquoted variable", "version: 1\nsync: [{from: ${A}, to: x}]\n", "2:16"},
		{"full-width colon", "version: 1\nsync：\n  - from: nginx\n", "3:9"},
		{"UTF-16", "\xff\xfev\x00", "0:0"},
		{"GBK", "# \xbe\xb5\n" + head, "1:3"},
		{"control character", head + "# a\x01b\n", "4:4"},
		{"both lines", "version: 1\nsync:\n  - from：nginx\n    to: “x”\n", "4:7"},
		{"the colon of the line before", "version: 1\nsync：\n  - from: nginx\n    to: x\n", "3:9"},
		{"too deep", strings.Repeat("[", 100), "1:65"},
		{"a custom tag", "version: 1\nsync: [{from: !x nginx, to: x.example/n}]\n", "2:15"},
		{"a variable that is not closed", "version: 1\nsync: [{from: \"${A\", to: x.example/n}]\n", "2:15"},
		{"a variable without a name", "version: 1\nsync: [{from: \"${}\", to: x.example/n}]\n", "2:15"},
		{"a mistake behind an alias is where it points", "version: 1\nsync: [{from: &a Nginx, to: x.example/n}, {from: *a, to: y.example/n}]\n", "2:15"},
		{"a tags list", "version: 1\nsync: [{from: nginx, to: x.example/n, tags: [a]}]\n", "2:46"},
		{"empty tags", "version: 1\nsync: [{from: nginx, to: x.example/n, tags: {}}]\n", "2:45"},
		{"empty include", "version: 1\nsync: [{from: nginx, to: x.example/n, tags: {include: []}}]\n", "2:55"},
		{"two images to one tag", "version: 1\nsync: [{from: [nginx:1, httpd:1], to: x.example/n}]\n", "2:25"},
		{"other platforms are another image", "version: 1\nsync: [{from: nginx:1, to: x.example/n}, {from: nginx:1, to: x.example/n, platforms: linux/amd64}]\n", "2:49"},
		{"same registry under two names", "version: 1\nregistries:\n  docker.io: {tls: enabled}\n  index.docker.io: {tls: enabled}\n" + head[11:], "4:3"},
		{"unknown part", "version: 1\nsync: [{from: nginx, to: \"x.example/{{.Digest}}\"}]\n", "2:26"},
		{"template that does more", "version: 1\nsync: [{from: nginx, to: \"x.example/{{range .Tag}}a{{end}}\"}]\n", "2:26"},
		{"template not closed", "version: 1\nsync: [{from: nginx, to: \"x.example/{{.Tag\"}]\n", "2:26"},
	}
}

func renameRules() []rule {
	return []rule{
		{"a suffix", entry("from: nginx, to: a.b/n, rename: '{{.Tag}}-cn'"), ""},
		{"a part that is none", entry("from: nginx, to: a.b/n, rename: '{{.Tga}}-cn'"), "2:41"},
		{"beside a fixed tag", entry("from: nginx:1, to: a.b/n:x, rename: '{{.Tag}}-cn'"), "2:45"},
		{"beside a tag that is made", entry("from: nginx, to: 'a.b/n:{{.Tag}}', rename: '{{.Tag}}-cn'"), "2:52"},
		{"beside one destination with a tag", entry("from: nginx:1, to: [a.b/n, a.b/m:x], rename: '{{.Tag}}-cn'"), "2:54"},
		{"beside a default with a tag", "version: 1\ndefaults: {to: 'a.b/{{.Base}}:x-{{.Tag}}'}\nsync: [{from: nginx, rename: '{{.Tag}}-cn'}]\n", "3:30"},
		{"a default beside a tag of an entry", "version: 1\ndefaults: {rename: '{{.Tag}}-cn'}\nsync: [{from: nginx:1, to: a.b/n:x}]\n", ""},
		{"both of them defaults", "version: 1\ndefaults: {rename: '{{.Tag}}-cn', to: a.b/n:x}\nsync: [{from: nginx:1}]\n", "2:20"},
		{"a port is no tag", entry("from: nginx, to: a.b:5000/n, rename: '{{.Tag}}-cn'"), ""},
		{"one name for all tags", entry("from: nginx, to: a.b/n, rename: cn"), "2:41"},
		{"a date for all tags", entry("from: nginx, to: a.b/n, rename: '{{.Date}}'"), "2:41"},
		{"one name for one image", entry("from: nginx:1, to: a.b/n, rename: 'x-{{.Date}}'"), ""},
		{"one name for one of the tags", entry("from: nginx, to: a.b/n, rename: stable, tags: {include: ['1.29']}"), ""},
		{"one name for the newest", entry("from: nginx, to: a.b/n, rename: stable, tags: {semver: '>=1', newest: 1}"), ""},
		{"one name for the newest of each variant", entry("from: nginx, to: a.b/n, rename: stable, tags: {semver: '>=1', variants: ['*'], newest: 1}"), "2:41"},
		{"no tag", entry("from: nginx, to: a.b/n, rename: '{{.Repository}}-{{.Tag}}'"), "2:41"},
		{"no tag, of one image", entry("from: nginx:1, to: a.b/n, rename: '-{{.Tag}}'"), "2:43"},
		{"too long", entry("from: nginx:1, to: a.b/n, rename: '{{.Tag}}" + strings.Repeat("x", 128) + "'"), "2:43"},
		{"a digest has no tag", entry("from: 'nginx@sha256:" + strings.Repeat("0", 64) + "', to: a.b/n, rename: '{{.Tag}}-cn'"), ""},
	}
}

func valueRules() []rule {
	of := func(keys string) string { return entry("from: nginx, to: a.b/n, " + keys) }
	return []rule{
		{"sizes", of("maxSize: 5GiB"), ""},
		{"bytes", of("maxSize: 500"), ""},
		{"a size of nothing", of("maxSize: 0"), "2:42"},
		{"a size below nothing", of("maxSize: -5GiB"), "2:42"},
		{"a size in words", of("maxSize: large"), "2:42"},
		{"a size past counting", of("maxSize: 99999999PiB"), "2:42"},
		{"times", of("timeout: 1h30m"), ""},
		{"days", of("timeout: 2d"), ""},
		{"a time without a unit", of("timeout: 30"), "2:42"},
		{"no time", of("timeout: 0s"), "2:42"},
		{"a time below nothing", of("timeout: -1h"), "2:42"},
		{"a time past counting", of("timeout: 999999w"), "2:42"},
		{"overwrite", of("overwrite: newer"), ""},
		{"overwrite mistyped", of("overwrite: nevre"), "2:44"},
		{"immutable", of("immutable: ['v*.*.*']"), ""},
		{"immutable that no tag has", of("immutable: ['v*/*']"), "2:45"},
		{"a sample", of("verify: sampled"), ""},
		{"a sample of its own size", of("verify: {sampled: 10%}"), ""},
		{"a variable for a sample", of("verify: {sampled: '${NOT_SET:-10%}'}"), ""},
		{"a sample mistyped", of("verify: sampeld"), "2:41"},
		{"a size without a sample", of("verify: 5%"), "2:41"},
		{"an unknown key of verify", of("verify: {sample: 5%}"), "2:42"},
		{"a sample without a sign", of("verify: {sampled: 5}"), "2:51"},
		{"a sample of nothing", of("verify: {sampled: 0%}"), "2:51"},
		{"a sample of too much", of("verify: {sampled: 101%}"), "2:51"},
		{"a mapping without a sample", of("verify: {}"), "2:41"},
		{"a list of samples", of("verify: [sampled]"), "2:41"},
		{"verify mistyped", of("verfy: sampled"), "2:33"},
		{"referrers when something changed", of("referrers: changed"), ""},
		{"referrers mistyped", of("referrers: chnaged"), "2:44"},
		{"types of referrers", of("referrers: [application/spdx+json]"), ""},
		{"required referrers", of("referrers: required"), ""},
		{"a mapping of referrers", of("referrers: {types: [application/spdx+json], required: true, changed: true}"), ""},
		{"a mapping of nothing", of("referrers: {}"), ""},
		{"an unknown key of referrers", of("referrers: {type: [a/b]}"), "2:45"},
		{"required mistyped", of("referrers: requierd"), "2:44"},
		{"a variable for referrers", of("referrers: '${NOT_SET:-required}'"), ""},
		{"a variable that turns referrers off", of("referrers: '${NOT_SET:-False}'"), ""},
		{"a variable with a wrong word", of("referrers: '${NOT_SET:-chnaged}'"), "2:44"},
		{"false mistyped", of("referrers: flase"), "2:44"},
		{"true as text", of("referrers: 'true'"), "2:44"},
		{"a type without a list", of("referrers: application/spdx+json"), ""},
		{"false as a key", of("referrers: {false}"), "2:45"},
		{"a word in a mapping", of("referrers: {required: yes}"), "2:55"},
		{"a key without a value", of("referrers: {changed}"), "2:52"},
		{"a key twice", of("referrers: {changed: true, changed: false}"), "2:60"},
		{"a type in a mapping without a list", of("referrers: {types: a/b}"), ""},
		{"the same type twice in a mapping", of("referrers: {types: [a/b, a/b]}"), "2:58"},
		{"types in a mapping that are none", of("referrers: {types: []}"), "2:52"},
		{"the same type twice", of("referrers: [a/b, a/b]"), "2:50"},
		{"no type of referrers", of("referrers: [sbom]"), "2:45"},
		{"no types of referrers", of("referrers: []"), "2:44"},
		{"versions of Windows", of("platforms: [windows(10.0.17763)/amd64, windows(10.0.20348)/amd64]"), ""},
		{"a version of Windows twice", of("platforms: [windows(10.0.17763)/amd64, windows(10.0.17763)/amd64]"), "2:72"},
		{"platforms to be there", of("requirePlatforms: true, platforms: [linux/amd64]"), ""},
		{"all platforms to be there", of("requirePlatforms: true"), "2:33"},
		{"all platforms said to be there", of("requirePlatforms: true, platforms: all"), "2:33"},
		{"platforms that may be missing", of("ignoreMissingPlatforms: true, platforms: [linux/amd64]"), ""},
		{"all platforms may be missing", of("ignoreMissingPlatforms: true"), "2:33"},
		{"platforms that may be missing and must not", of("ignoreMissingPlatforms: true, requirePlatforms: true, platforms: [linux/amd64]"), "2:33"},
		{"no platforms to be there", of("requirePlatforms: false"), ""},
		{"a wrong platform is one mistake", of("requirePlatforms: true, platforms: [linux/amd46]"), "2:69"},
		{"what is not there yet", of("prune: {maxDelete: 1}"), "2:33"},
	}
}

func tagRules() []rule {
	of := func(block string) string { return entry("from: nginx, to: a.b/n, tags: " + block) }
	return []rule{
		{"blocks", of("[{include: [latest]}, {semver: '>=1', newest: 3}]"), ""},
		{"a block that is none", of("[{include: [latest]}, latest]"), "2:61"},
		{"no blocks", of("[]"), "2:39"},
		{"the second block", of("[{include: [latest]}, {inclde: [a]}]"), "2:62"},
		{"newest as a mapping", of("{newest: {count: 5, by: created}}"), ""},
		{"newest of nothing", of("{newest: 0}"), "2:48"},
		{"newest of a part", of("{newest: 1.5}"), "2:48"},
		{"newest past counting", of("{newest: 99999999999999999999}"), "2:48"},
		{"newest in words", of("{newest: all}"), "2:48"},
		{"newest.count of nothing", of("{newest: {count: 0}}"), "2:56"},
		{"newest without count", of("{newest: {by: created}}"), "2:48"},
		{"newest by something", of("{newest: {count: 1, by: size}}"), "2:63"},
		{"a range that is none", of("{semver: '>>1'}"), "2:48"},
		{"a range without a version", of("{semver: '>=2 <1'}"), "2:48"},
		{"variants", of("{semver: '>=1', variants: ['alpine*']}"), ""},
		{"variants with their hyphen", of("{semver: '>=1', variants: [-alpine]}"), ""},
		{"a pattern that is left out", of("{include: ['2.*', '1.2*'], exclude: ['1.*', '?.3']}"), "2:57"},
		{"a pattern that is left out in part", of("{include: ['1.*'], exclude: ['1.2*', '1.?', '*-rc?']}"), ""},
		{"a pattern of no version", of("{include: ['1.*', 'release-*', stable], semver: '>=1'}"), "2:57"},
		{"a tag of a signature", of("{include: ['sha256-" + strings.Repeat("0", 64) + ".sig']}"), "2:50"},
		{"tags of signatures left out", of("{exclude: ['sha256-*']}"), ""},
		{"variants alone", of("{variants: ['alpine*']}"), "2:40"},
		{"ages", of("{createdWithin: 90d, olderThan: 36h, pushedWithin: 12w}"), ""},
		{"no age", of("{createdWithin: 90d, olderThan: 12w3d, exclude: [a]}"), ""},
		{"no age is left", of("{createdWithin: 1w, olderThan: 8d}"), "2:59"},
		{"names and a range", of("{include: [latest], semver: '>=1'}"), "2:59"},
		{"names and newest", of("{include: [latest], newest: 3}"), "2:59"},
		{"names and an age", of("{include: [latest], createdWithin: 3d}"), "2:59"},
		{"names, a pattern and newest", of("{include: [latest, '1.*'], newest: 3}"), ""},
		{"a directory", of("{include: ['v1/*']}"), "2:50"},
		{"a space", of("{include: ['1.2 *']}"), "2:50"},
		{"a dot to begin with", of("{include: ['.*']}"), "2:50"},
		{"too long", of("{include: ['" + strings.Repeat("x", 129) + "*']}"), "2:50"},
		{"just not too long", of("{include: ['" + strings.Repeat("x", 128) + "*']}"), ""},
		{"an expression with a slash", of(`{include: ['/v1\/.*/']}`), "2:50"},
		{"an expression of spaces", of(`{include: ['/v1\s+x/']}`), "2:50"},
		{"an expression that may have a slash", of(`{include: ['/v1(\/x)?.*/', '/(a b|c)/', '/[ -~]+/', '/^v1$/', '/(?i)latest/', '/x{0}[é]*/']}`), ""},
		{"an expression that is too long", of(`{include: ['/[a-z]{129}/']}`), "2:50"},
		{"classes", of(`{include: ['[!a]*', '[a-c]?', '\a*']}`), ""},
		{"an excluded name", of("{include: [latest, v1], exclude: ['l*']}"), "2:50"},
		{"an excluded pattern", of("{include: ['v*'], exclude: [a, 'v*']}"), "2:50"},
		{"all is excluded", of("{include: ['v*'], exclude: '*'}"), "2:66"},
		{"some is excluded", of("{include: ['v*', '*'], exclude: ['v1*', '*-rc*']}"), ""},
		{"a name that another block excludes", of("[{include: [latest]}, {exclude: [latest]}]"), ""},
		{"tags of one image", entry("from: nginx:1, to: a.b/n, tags: {include: 'x*'}"), "2:35"},
		{"shared tags of one image", "version: 1\ndefaults: {tags: {include: 'x*'}}\nsync: [{from: nginx:1, to: a.b/n}]\n", ""},
	}
}

func fromRules() []rule {
	of := func(from string) string { return entry("from: '" + from + "', to: 'x.example/{{.Base}}'") }
	return []rule{
		{"braces", of("docker.io/library/{nginx,httpd}"), ""},
		{"braces left open", of("nginx:{1,2"), "2:15"},
		{"braces closed twice", of("nginx:1}"), "2:15"},
		{"braces in braces", of("{a,{b,c}}"), "2:15"},
		{"a template", of("a.b/{{.Base}}"), "2:15"},
		{"too many", of("{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1}"), "2:15"},
		{"a mistake in each is one problem", of("A{1,2,3}"), "2:15"},
		{"a namespace", of("harbor.corp/team/*"), ""},
		{"deeper", of("harbor.corp:5443/*/base-*"), ""},
		{"an address", of("[::1]:5000/team/[ab]?"), ""},
		{"Docker Hub", of("team/*"), ""},
		{"all of Docker Hub", of("docker.io/*/*"), "2:15"},
		{"with a tag", of("harbor.corp/team/*:1"), "2:15"},
		{"a pattern for a tag", of("nginx:1.*"), "2:15"},
		{"a layout", of("oci:./images/*"), "2:15"},
		{"two stars", of("harbor.corp/**"), "2:15"},
		{"a host", of("harbor.*/team/x"), "2:15"},
		{"a class left open", of("harbor.corp/[a/x"), "2:15"},
		{"a place that is not there yet", of("docker-daemon:nginx"), "2:15"},
		{"a destination that is there twice", entry("from: nginx, to: ['a.b/{{.Base}}', c.d/n, 'a.b/{{.Base}}']"), "2:51"},
		{"a destination that is not there yet", entry("from: 'nginx:1', to: 'docker-archive:{{.Base}}.tar'"), "2:30"},
		{"the local store", entry("from: 'store:nginx:1', to: a.b/n"), ""},
		{"upper case", of("harbor.corp/Team/*"), "2:15"},
		// Their tags have the same names, of which the first would have won.
		{"several to one destination", entry("from: 'harbor.corp/team/*', to: x.example/x"), "2:41"},
		{"several of one name to one destination", entry("from: 'harbor.corp/*/web', to: 'x.example/{{.Base}}'"), "2:40"},
		{"several to one destination, kept apart", entry("from: 'harbor.corp/team/*', to: x.example/x, rename: '{{.Base}}-{{.Tag}}'"), ""},
		{"several to one layout", entry("from: 'harbor.corp/team/*', to: 'oci:x'"), "2:41"},
		{"several to one tag", entry("from: 'harbor.corp/team/*', to: 'x.example/x:1'"), "2:41"},
		{"every tag to one", entry("from: 'harbor.corp/team/*', to: 'x.example/{{.Base}}:1'"), "2:41"},
	}
}

func mergeRules() []rule {
	const homes = "version: 1\nx-a: &a {to: a.b/n, platforms: [linux/amd64]}\nx-b: &b {to: c.d/n, timeout: 1h}\n"
	return []rule{
		{"an unknown key of a merged mapping is one problem", homes + "x-c: &c {form: x}\nsync: [{<<: [*a, *c], from: 'nginx:1'}, {<<: [*a, *c], from: 'httpd:2'}]\n", "4:10"},
		{"no mapping", homes + "sync: [{<<: x, from: 'nginx:1', to: a.b/n}]\n", "4:13"},
		{"itself", "version: 1\nsync: [&e {<<: *e, from: 'nginx:1', to: a.b/n}]\n", "2:16"},
		{"two of them", homes + "sync: [{<<: *a, <<: *b, from: 'nginx:1'}]\n", "4:17"},
		{"a home below the top", "version: 1\nsync: [{from: 'nginx:1', to: a.b/n, x-home: 1}]\n", "2:37"},
		{"shared tags of one image", "version: 1\nx-t: &t {tags: {include: 'v*'}}\nsync: [{<<: *t, from: 'nginx:1', to: a.b/n}]\n", ""},
		{"a home may hold anything", "version: 1\nx-home: [null, {a: 1, a: 2}]\nsync: [{from: 'nginx:1', to: a.b/n}]\n", ""},
		{"in quotes it is a word", homes + "sync: [{\"<<\": *a, from: 'nginx:1', to: a.b/n}]\n", "4:9"},
	}
}

func collisionRules() []rule {
	const name = "to: 'x.example/{{.Base}}'"
	return []rule{
		{"all tags of two repositories", entry("from: [quay.io/a/nginx, quay.io/b/nginx], " + name), "2:33"},
		{"all tags, said differently", two("from: quay.io/a/n, tags: {include: '*'}, "+name, "from: quay.io/b/n, "+name), "4:12"},
		{"literal tags that both have", entry("from: [quay.io/a/n, quay.io/b/n], tags: {include: ['1']}, " + name), "2:29"},
		{"tags that may differ", two("from: quay.io/a/n, tags: {include: '1.*'}, "+name, "from: quay.io/b/n, tags: {include: '2.*'}, "+name), ""},
		{"tags that may be the same", two("from: quay.io/a/n, tags: {include: '1.*'}, "+name, "from: quay.io/b/n, tags: {include: '1.*'}, "+name), ""},
		{"one image beside all tags", two("from: quay.io/a/n, "+name, "from: 'quay.io/b/n:1', "+name), ""},
		{"renamed apart", two("from: quay.io/a/n, rename: '{{.Tag}}-a', "+name, "from: quay.io/b/n, rename: '{{.Tag}}-b', "+name), ""},
		{"renamed alike", two("from: quay.io/a/n, rename: '{{.Tag}}-a', "+name, "from: quay.io/b/n, to: 'x.example/n:{{.Tag}}-a'"), "4:12"},
		{"renamed onto another", two("from: 'quay.io/a/n:1', rename: '{{.Tag}}-a', "+name, "from: 'quay.io/b/n:1-a', "+name), "4:12"},
		{"other platforms of all tags", two("from: quay.io/a/n, platforms: linux/amd64, "+name, "from: quay.io/a/n, "+name), "4:12"},
		{"the same platforms in another order", two("from: quay.io/a/n, platforms: [linux/amd64, linux/arm64], "+name, "from: quay.io/a/n, platforms: [linux/arm64, linux/amd64], "+name), ""},
		{"the same twice", two("from: quay.io/a/n, "+name, "from: quay.io/a/n, "+name), ""},
		{"namespaces may have other names", entry("from: ['quay.io/a/*', 'quay.io/b/*'], " + name), ""},
		{"a mistake in the tags is one", entry("from: [quay.io/a/n, quay.io/b/n], tags: {inclde: ['1']}, " + name), "2:50"},
	}
}

func cycleRules() []rule {
	return []rule{
		{"there and back", two("from: a.b/x, to: c.d/x", "from: c.d/x, to: a.b/x"), "3:12"},
		{"one image there and back", two("from: 'a.b/x:1', to: c.d/x", "from: 'c.d/x:1', to: a.b/x"), "3:12"},
		{"other images back", two("from: 'a.b/x:1', to: c.d/x", "from: 'c.d/x:2', to: a.b/x"), ""},
		{"an image there, all back", two("from: 'a.b/x:1', to: c.d/x", "from: c.d/x, to: a.b/x"), "3:12"},
		{"the same pattern there and back", two("from: a.b/x, to: c.d/x, tags: {include: 'v*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v*'}"), "3:12"},
		{"other patterns back", two("from: a.b/x, to: c.d/x, tags: {include: 'v1*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v2*'}"), ""},
		{"a narrower pattern there", two("from: a.b/x, to: c.d/x, tags: {include: 'v1*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v*'}"), "3:12"},
		{"a narrower pattern back", two("from: a.b/x, to: c.d/x, tags: {include: 'v*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v*-rc'}"), "4:12"},
		{"what is left out comes back", two("from: a.b/x, to: c.d/x, tags: {include: '*-prod'}", "from: c.d/x, to: a.b/x, tags: {exclude: '*-prod'}"), ""},
		{"narrower, but left out", two("from: a.b/x, to: c.d/x, tags: {include: 'v*', exclude: 'v1*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v1*'}"), ""},
		{"longer", "version: 1\nsync:\n  - {from: a.b/x, to: [c.d/x, k.l/x]}\n  - {from: c.d/x, to: e.f/x}\n  - {from: e.f/x, to: a.b/x}\n", "3:12"},
		{"a chain", two("from: a.b/x, to: c.d/x", "from: c.d/x, to: e.f/x"), ""},
		{"by a template", two("from: a.b/team/x, to: 'c.d/{{.Repository}}'", "from: c.d/team/x, to: 'a.b/team/{{.Base}}'"), "3:12"},
		{"namespaces there and back", two("from: 'a.b/team/*', to: 'c.d/{{.Repository}}'", "from: 'c.d/team/*', to: 'a.b/{{.Repository}}'"), "3:12"},
		{"copies of copies", entry("from: 'a.b/team/*', to: 'a.b/team/copy-{{.Base}}'"), "2:15"},
		{"copies beside", entry("from: 'a.b/team/*', to: 'a.b/copies/{{.Base}}'"), ""},
		{"a name with our words", entry("from: company/any, to: company/any"), "2:15"},
		{"onto itself", entry("from: a.b/x, to: a.b/x"), "2:15"},
		{"Docker Hub onto itself", entry("from: 'nginx:1', to: index.docker.io/library/nginx"), "2:15"},
		{"a part onto itself", entry("from: a.b/x, to: a.b/x, platforms: linux/amd64"), ""},
		{"under another tag", entry("from: 'a.b/x:1', to: 'a.b/x:stable'"), ""},
		{"tags of tags", entry("from: a.b/x, to: a.b/x, rename: '{{.Tag}}-old'"), "2:15"},
		{"tags of the tags of a pattern", entry("from: a.b/x, to: a.b/x, rename: '{{.Tag}}-cn', tags: {include: 'v*'}"), "2:15"},
		{"tags of some tags", entry("from: a.b/x, to: a.b/x, rename: '{{.Tag}}-old', tags: {exclude: '*-old'}"), ""},
		{"what is there stays", two("from: a.b/x, to: c.d/x, overwrite: never", "from: c.d/x, to: a.b/x"), ""},
		{"the newer one wins", two("from: a.b/x, to: c.d/x, overwrite: newer", "from: c.d/x, to: a.b/x, overwrite: newer"), ""},
		{"a tag moves along", two("from: a.b/x, to: c.d/x, tags: {include: ['1', '2']}", "from: 'c.d/x:1', to: 'a.b/x:2'"), ""},
	}
}

func lookalikeRules() []rule {
	const tail = ", to: a.b/n"
	return []rule{
		{"a key at the top", "version：1\nsync: [{from: nginx, to: a.b/n}]\n", "2:5"},
		{"an entry", "version: 1\nsync:\n  - from：nginx\n", "3:5"},
		{"a key of an entry", "version: 1\nsync:\n  - from: nginx\n    to：a.b/n\n", "4:5"},
		{"a list", entry("from: nginx, to: a.b/n, platforms: ［linux/amd64］"), "2:44"},
		{"a black bracket", entry("from: 【nginx】" + tail), "2:15"},
		{"a mapping", entry("from: nginx, to: a.b/n, tags: ｛newest｝"), "2:39"},
		{"a comma", entry("from: nginx， to: a.b/n"), "2:24"},
		{"curly quotes", entry("from: “nginx”" + tail), "2:15"},
		{"curly quotes of a tag", entry("from: nginx, to: a.b/n, tags: {include: [“1.*”]}"), "2:50"},
		{"single curly quotes", entry("from: ‘nginx’" + tail), "2:15"},
		{"a wide space", "version: 1\n　sync:\n  - {from: nginx, to: a.b/n}\n", "2:1"},
		{"a tab after spaces", "version: 1\nsync:\n  \t- from: nginx\n", "3:3"},
	}
}

func foreignRules() []rule {
	return []rule{
		{"regclient's entries", "version: 1\ndefaults: {parallel: 2}\nsync: [{source: a, target: b, type: image}]\n", "1:1"},
		{"regclient's credentials", "version: 1\ncreds: [{registry: a, user: b, pass: c}]\n", "1:1"},
		{"image-syncer's images", "quay.io/a/b:1: [c.example/b]\n", "1:1"},
		{"image-syncer's logins", "quay.io: {username: a, password: b}\n", "1:1"},
		{"image-syncer's old file", `{"auth": {}, "images": {}}`, "1:1"},
		{"skopeo's images", "quay.io:\n  images: {coreos/etcd: []}\n", "1:1"},
		{"skopeo's patterns", "registry:\n  images-by-tag-regex: {busybox: '^1'}\n", "1:1"},
		{"skopeo's versions", "docker.io:\n  tls-verify: false\n  images-by-semver: {alpine: '>3'}\n", "1:1"},
		{"dregsy's relay", "relay: skopeo\ntasks: []\n", "1:1"},
		{"dregsy's tasks", "tasks:\n  - {name: a, source: {registry: b.c}, mappings: [{from: x, to: y}]}\n", "1:1"},
	}
}

func exclusionRules() []rule {
	of := func(from string) string {
		return entry("from: [" + from + "], to: 'x.example/{{.Registry}}/{{.Repository}}'")
	}
	return []rule{
		{"of a pattern", of("'a.b/team/*', '!a.b/team/legacy-*'"), ""},
		{"before its pattern", of("'!a.b/team/{legacy-*,old}', 'a.b/team/*'"), ""},
		{"of some registry's patterns", of("'a.b/team/*', 'c.d/team/*', c.d/team/x, '!a.b/team/x'"), ""},
		{"of Docker Hub", of("'team/*', '!docker.io/team/old'"), ""},
		{"with copies of copies", entry("from: ['a.b/team/*', '!a.b/team/copy-*'], to: 'a.b/team/copy-{{.Base}}'"), ""},
		{"of others than the copies", entry("from: ['a.b/team/*', '!a.b/team/old'], to: 'a.b/team/copy-{{.Base}}'"), "2:16"},
		{"alone", of("'!a.b/team/legacy-*'"), "2:16"},
		{"beside a name only", of("a.b/team/x, '!a.b/team/legacy-*'"), "2:28"},
		{"at another registry", of("'a.b/team/*', '!c.d/team/legacy-*'"), "2:30"},
		{"of a repository that is named", of("'a.b/team/*', a.b/team/legacy-x, '!a.b/team/legacy-*'"), "2:49"},
		{"of an image that is named", of("'a.b/team/*', 'a.b/team/x:1', '!a.b/team/x'"), "2:46"},
		{"of all", of("'a.b/team/*', '!a.b/*/*'"), "2:30"},
		{"of the same", of("'a.b/team/[ab]*', '!a.b/team/[ab]*'"), "2:34"},
		{"with a tag", of("'a.b/team/*', '!a.b/team/x:1'"), "2:30"},
		{"of a layout", of("'a.b/team/*', '!oci:./x'"), "2:30"},
		{"no glob", of("'a.b/team/*', '!a.b/team/[x'"), "2:30"},
		{"nothing", of("'a.b/team/*', '!'"), "2:30"},
		{"without quotes", of("'a.b/team/*', !a.b/team/x"), "2:30"},
	}
}

func TestMergeKeys(t *testing.T) {
	const homes = "version: 1\nx-a: &a {to: a.b/n, platforms: [linux/amd64]}\nx-b: &b {to: c.d/n, timeout: 1h}\n"
	for _, test := range []struct{ name, entry, want string }{
		{"one", "{<<: *a, from: 'nginx:1'}", "a.b/n linux/amd64 0s"},
		{"own keys win, also before", "{to: e.f/n, <<: *a, from: 'nginx:1'}", "e.f/n linux/amd64 0s"},
		{"the earlier of two wins", "{<<: [*b, *a], from: 'nginx:1'}", "c.d/n linux/amd64 1h0m0s"},
		{"one of a merged one", "{<<: {<<: *b, to: g.h/n}, from: 'nginx:1'}", "g.h/n  1h0m0s"},
	} {
		e := mustLoad(t, homes+"sync: ["+test.entry+"]\n").Entries[0]
		platforms := ""
		for _, p := range e.Platforms {
			platforms += content.FormatPlatform(p)
		}
		if got := e.Destinations[0].String() + " " + platforms + " " + e.Timeout.String(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// TestCommentsHaveNoLookalikes: a character in a comment is not the cause of a mistake.
func TestCommentsHaveNoLookalikes(t *testing.T) {
	_, err := load(t, "version: 1\nsync: [{from: Nginx, to: a.b/n}] # 注释：名\n")
	if list, ok := errors.AsType[*config.Errors](err); !ok || list.Problems[0].Suggestion != "" {
		t.Errorf("got %v, want no suggestion", err)
	}
}

// TestTwelveMistakes: twelve mistakes are twelve problems, each on its line.
func TestTwelveMistakes(t *testing.T) {
	raw, err := os.ReadFile("testdata/twelve.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []int
	for i, line := range strings.Split(string(raw), "\n") {
		if strings.HasSuffix(line, "# wrong") {
			want = append(want, i+1)
		}
	}
	_, err = config.Load([]string{"testdata/twelve.yaml"}, config.Options{Env: environment()})
	list, ok := errors.AsType[*config.Errors](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	for _, p := range list.Problems {
		got = append(got, p.Line)
		if p.Excerpt == "" {
			t.Errorf("no excerpt:\n%v", p)
		}
	}
	if len(want) != 12 || !slices.Equal(got, want) {
		t.Errorf("problems on lines %v, want %v", got, want)
	}
}
