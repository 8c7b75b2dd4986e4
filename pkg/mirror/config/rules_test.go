package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// entry is a configuration of one entry whose keys are given, on line 2.
func entry(keys string) string { return "version: 1\nsync: [{" + keys + "}]\n" }

// two is one of two entries, on lines 3 and 4.
func two(first, second string) string {
	return "version: 1\nsync:\n  - {" + first + "}\n  - {" + second + "}\n"
}

// wants loads a text that has one mistake, or none where want is empty.
func wants(t *testing.T, text, want string) {
	t.Helper()
	_, err := load(t, text)
	if want == "" {
		if err != nil {
			t.Errorf("%s\nis right, and gives:\n%v", text, err)
		}
		return
	}
	list, ok := errors.AsType[*config.Errors](err)
	switch {
	case !ok:
		t.Errorf("%s\ngives %v, want %q", text, err, want)
	case len(list.Problems) != 1:
		t.Errorf("%s\ngives %d mistakes, want one:\n%v", text, len(list.Problems), err)
	case !strings.Contains(err.Error(), want) || list.Problems[0].Line == 0 || list.Problems[0].Excerpt == "":
		t.Errorf("%s\ngives:\n%v\nwant %q in it, with its line", text, err, want)
	}
}

type rule struct{ name, text, want string }

func check(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) { wants(t, r.text, r.want) })
	}
}

func TestRenameRules(t *testing.T) {
	check(t, []rule{
		{"a suffix", entry("from: nginx, to: a.b/n, rename: '{{.Tag}}-cn'"), ""},
		{"a part that is none", entry("from: nginx, to: a.b/n, rename: '{{.Tga}}-cn'"), "2:41: `{{.Tga}}` cannot be inserted; did you mean `{{.Tag}}`?"},
		{"beside a fixed tag", entry("from: nginx:1, to: a.b/n:x, rename: '{{.Tag}}-cn'"), "2:45: `rename` has no effect: the destination `a.b/n:x` has a tag of its own"},
		{"beside a tag that is made", entry("from: nginx, to: 'a.b/n:{{.Tag}}', rename: '{{.Tag}}-cn'"), "`rename` has no effect"},
		{"beside one destination with a tag", entry("from: nginx:1, to: [a.b/n, a.b/m:x], rename: '{{.Tag}}-cn'"), "`a.b/m:x` has a tag"},
		{"beside a default with a tag", "version: 1\ndefaults: {to: 'a.b/{{.Base}}:x-{{.Tag}}'}\nsync: [{from: nginx, rename: '{{.Tag}}-cn'}]\n", "3:30: `rename` has no effect"},
		{"a default beside a tag of an entry", "version: 1\ndefaults: {rename: '{{.Tag}}-cn'}\nsync: [{from: nginx:1, to: a.b/n:x}]\n", ""},
		{"both of them defaults", "version: 1\ndefaults: {rename: '{{.Tag}}-cn', to: a.b/n:x}\nsync: [{from: nginx:1}]\n", "2:20: `rename` has no effect"},
		{"a port is no tag", entry("from: nginx, to: a.b:5000/n, rename: '{{.Tag}}-cn'"), ""},
		{"one name for all tags", entry("from: nginx, to: a.b/n, rename: cn"), "2:41: `rename` gives every tag of nginx the same name: cn; put `{{.Tag}}` in it"},
		{"a date for all tags", entry("from: nginx, to: a.b/n, rename: '{{.Date}}'"), "`rename` gives every tag of nginx the same name: "},
		{"one name for one image", entry("from: nginx:1, to: a.b/n, rename: 'x-{{.Date}}'"), ""},
		{"one name for one of the tags", entry("from: nginx, to: a.b/n, rename: stable, tags: {include: ['1.29']}"), ""},
		{"one name for the newest", entry("from: nginx, to: a.b/n, rename: stable, tags: {semver: '>=1', newest: 1}"), ""},
		{"one name for the newest of each variant", entry("from: nginx, to: a.b/n, rename: stable, tags: {semver: '>=1', variants: ['*'], newest: 1}"), "the same name: stable"},
		{"no tag", entry("from: nginx, to: a.b/n, rename: '{{.Repository}}-{{.Tag}}'"), "2:41: `rename` makes `library/nginx-a` of nginx:a, which is no tag"},
		{"no tag, of one image", entry("from: nginx:1, to: a.b/n, rename: '-{{.Tag}}'"), "`rename` makes `-1` of nginx:1, which is no tag"},
		{"too long", entry("from: nginx:1, to: a.b/n, rename: '{{.Tag}}" + strings.Repeat("x", 128) + "'"), "which is no tag"},
		{"a digest has no tag", entry("from: 'nginx@sha256:" + strings.Repeat("0", 64) + "', to: a.b/n, rename: '{{.Tag}}-cn'"), ""},
	})
}

func TestValues(t *testing.T) {
	of := func(keys string) string { return entry("from: nginx, to: a.b/n, " + keys) }
	check(t, []rule{
		{"sizes", of("maxSize: 5GiB"), ""},
		{"bytes", of("maxSize: 500"), ""},
		{"a size of nothing", of("maxSize: 0"), "2:42: `maxSize`: `0` is nothing; sizes are written `5GiB`"},
		{"a size below nothing", of("maxSize: -5GiB"), "`maxSize`: `-5GiB` is no size"},
		{"a size in words", of("maxSize: large"), "`maxSize`: `large` is no size"},
		{"a size past counting", of("maxSize: 99999999PiB"), "`maxSize`: `99999999PiB` is too large"},
		{"times", of("timeout: 1h30m"), ""},
		{"days", of("timeout: 2d"), ""},
		{"a time without a unit", of("timeout: 30"), "2:42: `timeout`: `30` is a number without a unit; times are written `90s`"},
		{"no time", of("timeout: 0s"), "`timeout`: `0s` is nothing"},
		{"a time below nothing", of("timeout: -1h"), "`timeout`: `-1h` is no length of time"},
		{"a time past counting", of("timeout: 999999w"), "`timeout`: `999999w` is too long"},
		{"overwrite", of("overwrite: newer"), ""},
		{"overwrite mistyped", of("overwrite: nevre"), "`overwrite` must be `always`, `never` or `newer`; did you mean `never`?"},
		{"immutable", of("immutable: ['v*.*.*']"), ""},
		{"immutable that no tag has", of("immutable: ['v*/*']"), "`v*/*` matches no tag that there can be"},
		{"a sample", of("verify: sampled"), ""},
		{"a sample of its own size", of("verify: {sampled: 10%}"), ""},
		{"a variable for a sample", of("verify: {sampled: '${NOT_SET:-10%}'}"), ""},
		{"a sample mistyped", of("verify: sampeld"), "2:41: `verify` must be `always`, `sampled`, or a mapping with `sampled`; did you mean `sampled`?"},
		{"a size without a sample", of("verify: 5%"), "with `sampled`; as `verify: {sampled: 5%}`"},
		{"an unknown key of verify", of("verify: {sample: 5%}"), "2:42: unknown key `sample`; did you mean `sampled`?"},
		{"a sample without a sign", of("verify: {sampled: 5}"), "2:51: `sampled` must be a percentage from 1% to 100%, which `5` is not; as `5%`"},
		{"a sample of nothing", of("verify: {sampled: 0%}"), "which `0%` is not"},
		{"a sample of too much", of("verify: {sampled: 101%}"), "which `101%` is not"},
		{"a mapping without a sample", of("verify: {}"), "`verify` needs `sampled`; as `verify: {sampled: 5%}`"},
		{"a list of samples", of("verify: [sampled]"), "`verify` must be text, not a list"},
		{"verify mistyped", of("verfy: sampled"), "unknown key `verfy`; did you mean `verify`?"},
		{"referrers when something changed", of("referrers: changed"), ""},
		{"referrers mistyped", of("referrers: chnaged"), "did you mean `changed`?"},
		{"types of referrers", of("referrers: [application/spdx+json]"), ""},
		{"required referrers", of("referrers: required"), ""},
		{"a mapping of referrers", of("referrers: {types: [application/spdx+json], required: true, changed: true}"), ""},
		{"a mapping of nothing", of("referrers: {}"), ""},
		{"an unknown key of referrers", of("referrers: {type: [a/b]}"), "did you mean `types`?"},
		{"required mistyped", of("referrers: requierd"), "did you mean `required`?"},
		{"a variable for referrers", of("referrers: '${NOT_SET:-required}'"), ""},
		{"a variable that turns referrers off", of("referrers: '${NOT_SET:-False}'"), ""},
		{"a variable with a wrong word", of("referrers: '${NOT_SET:-chnaged}'"), "did you mean `changed`?"},
		{"false mistyped", of("referrers: flase"), "did you mean `false`?"},
		{"true as text", of("referrers: 'true'"), "did you mean `true`?"},
		{"a type without a list", of("referrers: application/spdx+json"), "a list is written `[application/spdx+json]`"},
		{"false as a key", of("referrers: {false}"), "unknown key `false`; the keys of `referrers` are `changed`, `required` and `types`"},
		{"a word in a mapping", of("referrers: {required: yes}"), "`required` must be true or false, not text"},
		{"a key without a value", of("referrers: {changed}"), "`changed` must be true or false, not nothing"},
		{"a key twice", of("referrers: {changed: true, changed: false}"), "`changed` is repeated"},
		{"a type in a mapping without a list", of("referrers: {types: a/b}"), "`types` must be a list, not text"},
		{"the same type twice in a mapping", of("referrers: {types: [a/b, a/b]}"), "the artifact type a/b is listed twice"},
		{"types in a mapping that are none", of("referrers: {types: []}"), "`types` is an empty list"},
		{"the same type twice", of("referrers: [a/b, a/b]"), "the artifact type a/b is listed twice"},
		{"no type of referrers", of("referrers: [sbom]"), "`sbom` is no artifact type"},
		{"no types of referrers", of("referrers: []"), "`referrers` is an empty list"},
		{"versions of Windows", of("platforms: [windows(10.0.17763)/amd64, windows(10.0.20348)/amd64]"), ""},
		{"a version of Windows twice", of("platforms: [windows(10.0.17763)/amd64, windows(10.0.17763)/amd64]"), "windows(10.0.17763)/amd64 is there twice"},
		{"platforms to be there", of("requirePlatforms: true, platforms: [linux/amd64]"), ""},
		{"all platforms to be there", of("requirePlatforms: true"), "2:33: `requirePlatforms` has no effect: all platforms are taken; say which with `platforms`"},
		{"all platforms said to be there", of("requirePlatforms: true, platforms: all"), "2:33: `requirePlatforms` has no effect"},
		{"no platforms to be there", of("requirePlatforms: false"), ""},
		{"a wrong platform is one mistake", of("requirePlatforms: true, platforms: [linux/amd46]"), "no architecture is called amd46"},
		{"what is not there yet", of("prune: {maxDelete: 1}"), "`prune` is not supported yet"},
	})
}

func TestTagRules(t *testing.T) {
	of := func(block string) string { return entry("from: nginx, to: a.b/n, tags: " + block) }
	check(t, []rule{
		{"blocks", of("[{include: [latest]}, {semver: '>=1', newest: 3}]"), ""},
		{"a block that is none", of("[{include: [latest]}, latest]"), "`tags` must be a mapping, not text"},
		{"no blocks", of("[]"), "`tags` is an empty list"},
		{"the second block", of("[{include: [latest]}, {inclde: [a]}]"), "2:62: unknown key `inclde`; did you mean `include`?"},
		{"newest as a mapping", of("{newest: {count: 5, by: created}}"), ""},
		{"newest of nothing", of("{newest: 0}"), "2:48: `newest` must be at least 1"},
		{"newest of a part", of("{newest: 1.5}"), "`newest` must be a whole number, which `1.5` is not"},
		{"newest past counting", of("{newest: 99999999999999999999}"), "`newest` must be a whole number, which `99999999999999999999` is not"},
		{"newest in words", of("{newest: all}"), "`newest` must be a whole number, not text"},
		{"newest.count of nothing", of("{newest: {count: 0}}"), "`count` must be at least 1"},
		{"newest without count", of("{newest: {by: created}}"), "`newest` needs `count`"},
		{"newest by something", of("{newest: {count: 1, by: size}}"), "`by` must be `version` or `created`"},
		{"a range that is none", of("{semver: '>>1'}"), "2:48: `>>` is no operator"},
		{"a range without a version", of("{semver: '>=2 <1'}"), "2:48: no version is in the range `>=2 <1`"},
		{"variants", of("{semver: '>=1', variants: ['alpine*']}"), ""},
		{"variants with their hyphen", of("{semver: '>=1', variants: [-alpine]}"), ""},
		{"a pattern that is left out", of("{include: ['2.*', '1.2*'], exclude: ['1.*', '?.3']}"), "2:57: `1.2*` is taken away by `1.*` in `exclude`"},
		{"a pattern that is left out in part", of("{include: ['1.*'], exclude: ['1.2*', '1.?', '*-rc?']}"), ""},
		{"a pattern of no version", of("{include: ['1.*', 'release-*', stable], semver: '>=1'}"), "2:57: `release-*` matches no version, and `semver` takes only those"},
		{"a tag of a signature", of("{include: ['sha256-" + strings.Repeat("0", 64) + ".sig']}"), "goes with its image, and is not selected; `referrers` says which go along"},
		{"tags of signatures left out", of("{exclude: ['sha256-*']}"), ""},
		{"variants alone", of("{variants: ['alpine*']}"), "2:40: `variants` has no effect"},
		{"ages", of("{createdWithin: 90d, olderThan: 36h, pushedWithin: 12w}"), ""},
		{"no age", of("{createdWithin: 90d, olderThan: 12w3d, exclude: [a]}"), ""},
		{"no age is left", of("{createdWithin: 1w, olderThan: 8d}"), "2:59: no image is younger than `createdWithin` and `olderThan` that"},
		{"names and a range", of("{include: [latest], semver: '>=1'}"), "2:59: `semver` has no effect: `include` has names only"},
		{"names and newest", of("{include: [latest], newest: 3}"), "`newest` has no effect"},
		{"names and an age", of("{include: [latest], createdWithin: 3d}"), "`createdWithin` has no effect"},
		{"names, a pattern and newest", of("{include: [latest, '1.*'], newest: 3}"), ""},
		{"a directory", of("{include: ['v1/*']}"), "2:50: `v1/*` matches no tag that there can be"},
		{"a space", of("{include: ['1.2 *']}"), "`1.2 *` matches no tag"},
		{"a dot to begin with", of("{include: ['.*']}"), "`.*` matches no tag"},
		{"too long", of("{include: ['" + strings.Repeat("x", 129) + "*']}"), "matches no tag"},
		{"just not too long", of("{include: ['" + strings.Repeat("x", 128) + "*']}"), ""},
		{"an expression with a slash", of(`{include: ['/v1\/.*/']}`), "matches no tag"},
		{"an expression of spaces", of(`{include: ['/v1\s+x/']}`), "matches no tag"},
		{"an expression that may have a slash", of(`{include: ['/v1(\/x)?.*/', '/(a b|c)/', '/[ -~]+/', '/^v1$/', '/(?i)latest/', '/x{0}[é]*/']}`), ""},
		{"an expression that is too long", of(`{include: ['/[a-z]{129}/']}`), "matches no tag"},
		{"classes", of(`{include: ['[!a]*', '[a-c]?', '\a*']}`), ""},
		{"an excluded name", of("{include: [latest, v1], exclude: ['l*']}"), "2:50: `latest` is taken away by `l*` in `exclude`"},
		{"an excluded pattern", of("{include: ['v*'], exclude: [a, 'v*']}"), "2:50: `v*` is taken away by `v*` in `exclude`"},
		{"all is excluded", of("{include: ['v*'], exclude: '*'}"), "2:66: `*` in `exclude` leaves no tag"},
		{"some is excluded", of("{include: ['v*', '*'], exclude: ['v1*', '*-rc*']}"), ""},
		{"a name that another block excludes", of("[{include: [latest]}, {exclude: [latest]}]"), ""},
		{"tags of one image", entry("from: nginx:1, to: a.b/n, tags: {include: 'x*'}"), "2:35: `tags` has no effect"},
		{"shared tags of one image", "version: 1\ndefaults: {tags: {include: 'x*'}}\nsync: [{from: nginx:1, to: a.b/n}]\n", ""},
	})
}

func TestFromRules(t *testing.T) {
	of := func(from string) string { return entry("from: '" + from + "', to: 'x.example/{{.Base}}'") }
	check(t, []rule{
		{"braces", of("docker.io/library/{nginx,httpd}"), ""},
		{"braces left open", of("nginx:{1,2"), "2:15: `nginx:{1,2` has a `{` without its `}`"},
		{"braces closed twice", of("nginx:1}"), "has a `}` without its `{`"},
		{"braces in braces", of("{a,{b,c}}"), "braces within braces are not supported"},
		{"a template", of("a.b/{{.Base}}"), "inserted in `to` and `rename` only"},
		{"too many", of("{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1}"), "stands for more than 1000 images"},
		{"a mistake in each is told once", of("A{1,2,3}"), "a repository is written in lower case"},
		{"a namespace", of("harbor.corp/team/*"), ""},
		{"deeper", of("harbor.corp:5443/*/base-*"), ""},
		{"an address", of("[::1]:5000/team/[ab]?"), ""},
		{"Docker Hub", of("team/*"), ""},
		{"all of Docker Hub", of("docker.io/*/*"), "Docker Hub lists the repositories of one namespace"},
		{"with a tag", of("harbor.corp/team/*:1"), "a pattern of repositories has no tag"},
		{"a pattern for a tag", of("nginx:1.*"), "`nginx:1.*` has a pattern for a tag; write `tags: {include: [\"1.*\"]}`"},
		{"a layout", of("oci:./images/*"), "only a registry's repositories are found by a pattern"},
		{"two stars", of("harbor.corp/**"), "`**` is not supported"},
		{"a host", of("harbor.*/team/x"), "the host of a registry cannot be a pattern"},
		{"a class left open", of("harbor.corp/[a/x"), "a `[` is left open"},
		{"a place that is not there yet", of("docker-daemon:nginx"), "`docker-daemon:nginx`: `docker-daemon:` is not supported yet; registries, `oci:` and `store:` are"},
		{"a destination that is there twice", entry("from: nginx, to: ['a.b/{{.Base}}', c.d/n, 'a.b/{{.Base}}']"), "2:51: the destination `a.b/{{.Base}}` is there twice"},
		{"a destination that is not there yet", entry("from: 'nginx:1', to: 'docker-archive:{{.Base}}.tar'"), "`docker-archive:` is not supported yet"},
		{"the local store", entry("from: 'store:nginx:1', to: a.b/n"), ""},
		{"upper case", of("harbor.corp/Team/*"), "pattern `harbor.corp/Team/*`, read as"},
		// Their tags have the same names, of which the first would have won.
		{"several to one destination", entry("from: 'harbor.corp/team/*', to: x.example/x"), "2:41: every repository of harbor.corp/team/* would be written to x.example/x; put `{{.Repository}}` or `{{.Base}}` in it"},
		{"several of one name to one destination", entry("from: 'harbor.corp/*/web', to: 'x.example/{{.Base}}'"), "every repository of harbor.corp/*/web would be written to x.example/web"},
		{"several to one destination, kept apart", entry("from: 'harbor.corp/team/*', to: x.example/x, rename: '{{.Base}}-{{.Tag}}'"), ""},
		{"several to one layout", entry("from: 'harbor.corp/team/*', to: 'oci:x'"), "every repository of harbor.corp/team/* would be written to"},
		{"several to one tag", entry("from: 'harbor.corp/team/*', to: 'x.example/x:1'"), "every repository of harbor.corp/team/* would be written to x.example/x"},
		{"every tag to one", entry("from: 'harbor.corp/team/*', to: 'x.example/{{.Base}}:1'"), "every tag of harbor.corp/team/* would be written to x.example/*:1"},
	})
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
		if got := e.Destinations[0].String() + " " + config.PlatformKey(e.Platforms) + " " + e.Timeout.String(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	check(t, []rule{
		{"an unknown key is told once, at its place", homes + "x-c: &c {form: x}\nsync: [{<<: [*a, *c], from: 'nginx:1'}, {<<: [*a, *c], from: 'httpd:2'}]\n", "4:10: unknown key `form`"},
		{"no mapping", homes + "sync: [{<<: x, from: 'nginx:1', to: a.b/n}]\n", "4:13: what `<<` merges must be a mapping"},
		{"itself", "version: 1\nsync: [&e {<<: *e, from: 'nginx:1', to: a.b/n}]\n", "2:16: a mapping is merged into itself"},
		{"two of them", homes + "sync: [{<<: *a, <<: *b, from: 'nginx:1'}]\n", "4:17: `<<` is repeated; it is on line 4 already; write `<<: [*a, *b]`"},
		{"a home below the top", "version: 1\nsync: [{from: 'nginx:1', to: a.b/n, x-home: 1}]\n", "unknown key `x-home`"},
		{"shared tags of one image", "version: 1\nx-t: &t {tags: {include: 'v*'}}\nsync: [{<<: *t, from: 'nginx:1', to: a.b/n}]\n", ""},
		{"a home may hold anything", "version: 1\nx-home: [null, {a: 1, a: 2}]\nsync: [{from: 'nginx:1', to: a.b/n}]\n", ""},
		{"in quotes it is a word", homes + "sync: [{\"<<\": *a, from: 'nginx:1', to: a.b/n}]\n", "unknown key `<<`"},
	})
}

func TestCollisionRules(t *testing.T) {
	const name = "to: 'x.example/{{.Base}}'"
	check(t, []rule{
		{"all tags of two repositories", entry("from: [quay.io/a/nginx, quay.io/b/nginx], " + name), "2:33: all tags of quay.io/b/nginx are written to x.example/nginx, as those of quay.io/a/nginx at standard input:2:16"},
		{"all tags, said differently", two("from: quay.io/a/n, tags: {include: '*'}, "+name, "from: quay.io/b/n, "+name), "4:12: all tags of quay.io/b/n"},
		{"literal tags that both have", entry("from: [quay.io/a/n, quay.io/b/n], tags: {include: ['1']}, " + name), "x.example/n:1 is written twice"},
		{"tags that may differ", two("from: quay.io/a/n, tags: {include: '1.*'}, "+name, "from: quay.io/b/n, tags: {include: '2.*'}, "+name), ""},
		{"tags that may be the same", two("from: quay.io/a/n, tags: {include: '1.*'}, "+name, "from: quay.io/b/n, tags: {include: '1.*'}, "+name), ""},
		{"one image beside all tags", two("from: quay.io/a/n, "+name, "from: 'quay.io/b/n:1', "+name), ""},
		{"renamed apart", two("from: quay.io/a/n, rename: '{{.Tag}}-a', "+name, "from: quay.io/b/n, rename: '{{.Tag}}-b', "+name), ""},
		{"renamed alike", two("from: quay.io/a/n, rename: '{{.Tag}}-a', "+name, "from: quay.io/b/n, to: 'x.example/n:{{.Tag}}-a'"), "4:12: all tags of quay.io/b/n"},
		{"renamed onto another", two("from: 'quay.io/a/n:1', rename: '{{.Tag}}-a', "+name, "from: 'quay.io/b/n:1-a', "+name), "x.example/n:1-a is written twice"},
		{"other platforms of all tags", two("from: quay.io/a/n, platforms: linux/amd64, "+name, "from: quay.io/a/n, "+name), "x.example/n is written twice: from quay.io/a/n (all platforms) here, and from quay.io/a/n (linux/amd64)"},
		{"the same platforms in another order", two("from: quay.io/a/n, platforms: [linux/amd64, linux/arm64], "+name, "from: quay.io/a/n, platforms: [linux/arm64, linux/amd64], "+name), ""},
		{"the same twice", two("from: quay.io/a/n, "+name, "from: quay.io/a/n, "+name), ""},
		{"namespaces may have other names", entry("from: ['quay.io/a/*', 'quay.io/b/*'], " + name), ""},
		{"a mistake in the tags is one", entry("from: [quay.io/a/n, quay.io/b/n], tags: {inclde: ['1']}, " + name), "unknown key `inclde`"},
	})
}

func TestCircleRules(t *testing.T) {
	check(t, []rule{
		{"there and back", two("from: a.b/x, to: c.d/x", "from: c.d/x, to: a.b/x"), "3:12: a circle: a.b/x → c.d/x → a.b/x, with standard input:4:12"},
		{"one image there and back", two("from: 'a.b/x:1', to: c.d/x", "from: 'c.d/x:1', to: a.b/x"), "a circle: a.b/x:1 → c.d/x:1 → a.b/x:1"},
		{"other images back", two("from: 'a.b/x:1', to: c.d/x", "from: 'c.d/x:2', to: a.b/x"), ""},
		{"an image there, all back", two("from: 'a.b/x:1', to: c.d/x", "from: c.d/x, to: a.b/x"), "a circle: a.b/x:1 → c.d/x:1 → a.b/x:1"},
		{"the same pattern there and back", two("from: a.b/x, to: c.d/x, tags: {include: 'v*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v*'}"), "a circle"},
		{"other patterns back", two("from: a.b/x, to: c.d/x, tags: {include: 'v1*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v2*'}"), ""},
		{"a narrower pattern there", two("from: a.b/x, to: c.d/x, tags: {include: 'v1*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v*'}"), "3:12: a circle: a.b/x:v1* → c.d/x:v1* → a.b/x:v1*, with standard input:4:12"},
		{"a narrower pattern back", two("from: a.b/x, to: c.d/x, tags: {include: 'v*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v*-rc'}"), "a circle: c.d/x:v*-rc → a.b/x:v*-rc → c.d/x:v*-rc"},
		{"what is left out comes back", two("from: a.b/x, to: c.d/x, tags: {include: '*-prod'}", "from: c.d/x, to: a.b/x, tags: {exclude: '*-prod'}"), ""},
		{"narrower, but left out", two("from: a.b/x, to: c.d/x, tags: {include: 'v*', exclude: 'v1*'}", "from: c.d/x, to: a.b/x, tags: {include: 'v1*'}"), ""},
		{"longer", "version: 1\nsync:\n  - {from: a.b/x, to: [c.d/x, k.l/x]}\n  - {from: c.d/x, to: e.f/x}\n  - {from: e.f/x, to: a.b/x}\n", "3:12: a circle: a.b/x → c.d/x → e.f/x → a.b/x, with standard input:4:12, standard input:5:12"},
		{"a chain", two("from: a.b/x, to: c.d/x", "from: c.d/x, to: e.f/x"), ""},
		{"by a template", two("from: a.b/team/x, to: 'c.d/{{.Repository}}'", "from: c.d/team/x, to: 'a.b/team/{{.Base}}'"), "a circle"},
		{"namespaces there and back", two("from: 'a.b/team/*', to: 'c.d/{{.Repository}}'", "from: 'c.d/team/*', to: 'a.b/{{.Repository}}'"), "a circle: a.b/team/* → c.d/team/* → a.b/team/*"},
		{"copies of copies", entry("from: 'a.b/team/*', to: 'a.b/team/copy-{{.Base}}'"), "2:15: a circle: a.b/team/* → a.b/team/copy-*"},
		{"copies beside", entry("from: 'a.b/team/*', to: 'a.b/copies/{{.Base}}'"), ""},
		{"a name with our words", entry("from: company/any, to: company/any"), "2:15: company/any is copied onto itself"},
		{"onto itself", entry("from: a.b/x, to: a.b/x"), "2:15: a.b/x is copied onto itself"},
		{"Docker Hub onto itself", entry("from: 'nginx:1', to: index.docker.io/library/nginx"), "nginx:1 is copied onto itself"},
		{"a part onto itself", entry("from: a.b/x, to: a.b/x, platforms: linux/amd64"), ""},
		{"under another tag", entry("from: 'a.b/x:1', to: 'a.b/x:stable'"), ""},
		{"tags of tags", entry("from: a.b/x, to: a.b/x, rename: '{{.Tag}}-old'"), "2:15: a circle: a.b/x → a.b/x"},
		{"tags of the tags of a pattern", entry("from: a.b/x, to: a.b/x, rename: '{{.Tag}}-cn', tags: {include: 'v*'}"), "2:15: a circle: a.b/x:v* → a.b/x:v*-cn"},
		{"tags of some tags", entry("from: a.b/x, to: a.b/x, rename: '{{.Tag}}-old', tags: {exclude: '*-old'}"), ""},
		{"what is there stays", two("from: a.b/x, to: c.d/x, overwrite: never", "from: c.d/x, to: a.b/x"), ""},
		{"the newer one wins", two("from: a.b/x, to: c.d/x, overwrite: newer", "from: c.d/x, to: a.b/x, overwrite: newer"), ""},
		{"a tag moves along", two("from: a.b/x, to: c.d/x, tags: {include: ['1', '2']}", "from: 'c.d/x:1', to: 'a.b/x:2'"), ""},
	})
}

func TestForeignFormats(t *testing.T) {
	for _, test := range []struct{ tool, text string }{
		{"skopeo sync", "quay.io:\n  images: {coreos/etcd: []}\n"},
		{"skopeo sync", "registry:\n  images-by-tag-regex: {busybox: '^1'}\n"},
		{"skopeo sync", "docker.io:\n  tls-verify: false\n  images-by-semver: {alpine: '>3'}\n"},
		{"dregsy", "relay: skopeo\ntasks: []\n"},
		{"dregsy", "tasks:\n  - {name: a, source: {registry: b.c}, mappings: [{from: x, to: y}]}\n"},
		{"image-syncer", "auth: {quay.io: {username: a}}\nimages: {quay.io/a: b.c/a}\n"},
		{"image-syncer", "quay.io/a/b: quay.io/c/d\n"},
		{"regclient's regsync", "version: 1\ncreds: []\nsync: []\n"},
	} {
		wants(t, test.text, "this is the format of "+test.tool+"; `regsync config import` will read it in a later version; see docs/configuration.md")
	}
}

// TestLookalikes: characters of a Chinese keyboard are told wherever they stand.
func TestLookalikes(t *testing.T) {
	const tail = ", to: a.b/n"
	check(t, []rule{
		{"a key at the top", "version：1\nsync: [{from: nginx, to: a.b/n}]\n", "a full-width `：` where YAML wants `:`"},
		{"an entry", "version: 1\nsync:\n  - from：nginx\n", "a full-width `：` where YAML wants `:`"},
		{"a key of an entry", "version: 1\nsync:\n  - from: nginx\n    to：a.b/n\n", "a full-width `：` where YAML wants `:`"},
		{"a list", entry("from: nginx, to: a.b/n, platforms: ［linux/amd64］"), "a full-width `［` where YAML wants `[`"},
		{"a black bracket", entry("from: 【nginx】" + tail), "a full-width `【` where YAML wants `[`"},
		{"a mapping", entry("from: nginx, to: a.b/n, tags: ｛newest｝"), "a full-width `｛` where YAML wants `{`"},
		{"a comma", entry("from: nginx， to: a.b/n"), "a full-width `，` where YAML wants `,`"},
		{"curly quotes", entry("from: “nginx”" + tail), "a curly `“` where YAML wants `\"`"},
		{"curly quotes of a tag", entry("from: nginx, to: a.b/n, tags: {include: [“1.*”]}"), "where YAML wants `\"`"},
		{"single curly quotes", entry("from: ‘nginx’" + tail), "where YAML wants `'`"},
		{"a wide space", "version: 1\n　sync:\n  - {from: nginx, to: a.b/n}\n", "a space of another kind (U+3000)"},
		{"a tab after spaces", "version: 1\nsync:\n  \t- from: nginx\n", "indent with spaces, not with tabs"},
	})
	_, err := load(t, "version: 1\nsync: [{from: Nginx, to: a.b/n}] # 注释：名\n")
	if err == nil || strings.Contains(err.Error(), "full-width") {
		t.Errorf("a comment is not the mistake: %v", err)
	}
}
