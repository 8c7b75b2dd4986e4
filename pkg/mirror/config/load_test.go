package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// environment makes an Env of pairs, so that no test depends on the real one.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// load reads a text as standard input, which is relative to the current directory.
func load(t *testing.T, text string, env ...string) (*config.Config, error) {
	t.Helper()
	return config.Load([]string{"-"}, config.Options{
		Env: environment(env...), Stdin: strings.NewReader(text),
		Now: func() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) },
	})
}

func mustLoad(t *testing.T, text string, env ...string) *config.Config {
	t.Helper()
	cfg, err := load(t, text, env...)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	return cfg
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadEverything(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "robot.txt", "pass word \r\n")
	write(t, dir, "ca.pem", "")
	write(t, dir, "images.txt", "# list\r\nalpine:3.22\r\n\r\n  busybox # all tags\r\noci:./in:1\r\n")
	path := write(t, dir, "regsync.yaml", `
version: 1
registries:
  index.docker.io: {username: "${HUB_USER}", password: "${HUB_TOKEN}", proxy: "socks5://u:p@127.0.0.1:7890", mirrors: ["https://hub.example"]}
  harbor.corp:5443: {ca: ca.pem, maxConnections: 32}
  harbor.corp:5443/hub: {username: robot$hub+sync, passwordFile: robot.txt}
  127.0.0.1:5000: {tls: disabled, username: 0123, password: 0123}
defaults:
  to: ["registry.example/team/{{.Base}}", "harbor.corp:5443/hub/{{.Repository}}"]
  platforms: [linux/amd64, linux/arm64/v8]
  tags: {exclude: ["*-rc*"]}
sync:
  - from: docker.io/library/redis:7.2
  - fromFile: images.txt
    platforms: all
  - name: web
    from: [nginx, docker.io/library/httpd]
    to: oci:./mirror/{{.Base}}
    tags: {include: [1.20, 010, 2024-01-01, "/v[0-9]+/", 1.2*], exclude: [yes]}
    referrers: false
`)
	cfg, err := config.Load([]string{path}, config.Options{Env: environment("HUB_USER", "alice", "HUB_TOKEN", "t0ken")})
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}

	hub := cfg.Registries[0]
	if hub.Host != "docker.io" || hub.Username != "alice" || string(hub.Password) != "t0ken" ||
		string(hub.Proxy) != "socks5://u:p@127.0.0.1:7890" || hub.TLS != "" || fmt.Sprint(hub.Mirrors) != "[https://hub.example]" {
		t.Errorf("docker.io: got %+v", hub)
	}
	if r := cfg.Registries[1]; r.CA != filepath.Join(dir, "ca.pem") || r.MaxConnections != 32 {
		t.Errorf("harbor.corp:5443: got %+v", r)
	}
	if r := cfg.Registries[2]; r.Name() != "harbor.corp:5443/hub" || r.Username != "robot$hub+sync" || string(r.Password) != "pass word " {
		t.Errorf("harbor.corp:5443/hub: got %+v, password %q", r, string(r.Password))
	}
	if r := cfg.Registries[3]; r.TLS != config.TLSDisabled || r.Username != "0123" || string(r.Password) != "0123" {
		t.Errorf("127.0.0.1:5000: got %+v", r)
	}

	redis, list, web := cfg.Entries[0], cfg.Entries[1], cfg.Entries[2]
	golden.Text(t, strings.ReplaceAll(strings.Join([]string{describe(redis), describe(list), describe(web)}, "\n"), dir, "DIR"))
	if got, want := list.Sources[1].Position.String(), filepath.Join(dir, "images.txt")+":4:3"; got != want {
		t.Errorf("position: got %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(web.Tags[0].Include, web.Tags[0].Exclude), "[1.20 010 2024-01-01 /v[0-9]+/ 1.2*] [yes]"; got != want {
		t.Errorf("tags: got %s, want %s", got, want)
	}
	if got := list.Tags.String(); got != "exclude *-rc*" {
		t.Error("the default `tags` do not hold for an entry without")
	}
}

// describe is an entry with the destinations of its first source.
func describe(e config.Entry) string {
	var b strings.Builder
	b.WriteString(e.Name + ":")
	for _, s := range e.Sources {
		if s.IsRepository() {
			b.WriteString(" " + s.Reference.FamiliarName())
		} else {
			b.WriteString(" " + s.Reference.Familiar())
		}
	}
	first := e.Sources[0].Reference
	if e.Sources[0].IsRepository() {
		first = first.WithTag("t")
	}
	var to, platforms []string
	for _, d := range e.Destinations {
		ref, err := d.Reference(first)
		if err != nil {
			return err.Error()
		}
		to = append(to, ref.Familiar())
	}
	for _, p := range e.Platforms {
		platforms = append(platforms, content.FormatPlatform(p))
	}
	fmt.Fprintf(&b, " → %v %v referrers=%v", to, platforms, e.Referrers.Bring)
	return b.String()
}

// TestSecretsStayHidden: whatever is wrong on the line of a password or around it, the
// password is not shown.
func TestSecretsStayHidden(t *testing.T) {
	for _, text := range []string{
		"registries: {a.b: {password: hunter2",
		"registries: {a.b: {password: hunter2, tls: x, username: }}",
		"registries: {a.b: {'password': 'hunter2''hunter2', tls: x}}",
		"registries: {a.b: {password: \"a\\\"hunter2\", tls: x}}",
		"registries:\n  a.b:\n    password: hunter2 hunter2: x\n",
		"registries:\n  a.b:\n    password: a, hunter2: }\n",
		"registries:\n  a.b:\n    password: [hunter2]\n",
		"registries:\n  a.b:\n    password:\n      - hunter2\n",
		"registries:\n  a.b:\n    password:\n\n\n      hunter2: x\n",
		"registries:\n  a.b:\n    password: |\n      x\n     hunter2\n",
		"registries:\n  a.b:\n    password: \"x\n hunter2: y\n",
		"registries:\n  a.b:\n    password: 'x\n\n hunter2: y' : z\n",
		"registries:\n  a.b:\n    password: *hunter2\n",
		"registries:\n  a.b:\n    password: !hunter2 x\n",
		"registries:\n  a.b:\n    pasword: hunter2\n",
		"registries:\n  a.b:\n    passwd: hunter2\n",
		"registries:\n  a.b:\n    Passwort: hunter2\n",
		"registries:\n  a.b:\n    password : hunter2\n",
		"registries:\n  a.b:\n    password： hunter2\n",
		"registries:\n  a.b:\n    accessKeySecret: hunter2\n",
		"registries:\n  a.b:\n    auth: hunter2\n",
		"registries:\n  a.b: {proxy: \"gopher://u:hunter2@h\"}\n",
		"registries:\n  a.b: {proxy: \"u:hunter2@h\"}\n",
		"registries:\n  a.b: {mirrors: [\"https://u:hunter2@h\"]}\n",
		"registries: {\"https://u:hunter2@h\": {}}\n",
		"registries: {\"u:hunter2@a.b\": {}}\n",
		"registries: {\"u:hunter2/HUNTER2@a.b\": {}}\n",
		"sync: [{from: \"u:hunter2@a.b/x\", to: \"docker://u:hunter2@a.b/x\"}]\n",
		"sync: [{from: \"https://u:hunter2@h/x\", to: x}]\n",
		"sync: [{from: \"${SECRET}\", to: \"${SECRET}\", platforms: \"${SECRET}\", tags: {include: \"${SECRET}\"}, referrers: \"${SECRET}\"}]\n",
		"sync: [{from: a, to: \"{{${SECRET}\", name: \"${SECRET}\"}, {from: b, to: c, name: \"${SECRET}\"}]\n",
		"registries: {a.b: {tls: \"${SECRET}\", ca: \"${SECRET}\", maxConnections: \"${SECRET}\", passwordFile: \"${SECRET}\"}}\n",
	} {
		_, err := load(t, text, "SECRET", "hunter2 HUNTER2")
		if err == nil {
			t.Errorf("%q: no error", text)
		} else if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%q: the password is shown:\n%v", text, err)
		}
	}
}

func TestSecretPrintsAsStars(t *testing.T) {
	secret := struct{ S auth.Secret }{"hunter2"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(format, secret); strings.Contains(got, "hunter2") || strings.Contains(got, "68756e74657232") {
			t.Errorf("%s prints %s", format, got)
		}
	}
	if text, err := secret.S.MarshalText(); err != nil || string(text) != "***" {
		t.Errorf("MarshalText gives %q, %v", text, err)
	}
}

func TestVariables(t *testing.T) {
	env := []string{"SET", "value", "EMPTY", "", "NESTED", "${SET}"}
	for _, test := range []struct{ in, want string }{
		{"plain", "plain"},
		{"$", "$"},
		{"a$b$$c", "a$b$$c"},
		{"${SET}", "value"},
		{"a-${SET}-b-${SET}", "a-value-b-value"},
		{"${SET:-default}", "value"},
		{"${UNSET:-default}", "default"},
		{"${EMPTY:-default}", "default"},
		{"${UNSET:-}", ""},
		{"${EMPTY}", ""},
		{"$${SET}", "${SET}"},
		{"$$${SET}", "$${SET}"},
		{"${NESTED}", "${SET}"}, // a value is not read again
		{"${UNSET:-127.0.0.1:5001}", "127.0.0.1:5001"},
	} {
		text := fmt.Sprintf("version: 1\nregistries: {a.b: {username: u, password: '%s'}}\nsync: [{from: a, to: b}]\n", test.in)
		cfg := mustLoad(t, text, env...)
		if got := string(cfg.Registries[0].Password); got != test.want {
			t.Errorf("%s: got %q, want %q", test.in, got, test.want)
		}
	}
}

// TestVariablesAreNotYAML: what a variable holds cannot become structure or a comment.
func TestVariablesAreNotYAML(t *testing.T) {
	value := "x: [y, # z\n- \"'"
	cfg := mustLoad(t, "version: 1\nregistries: {a.b: {username: u, password: \"${P}\"}}\nsync: [{from: a, to: b}]\n", "P", value)
	if got := string(cfg.Registries[0].Password); got != value {
		t.Errorf("got %q, want %q", got, value)
	}
}

func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	one := write(t, dir, "one.yaml", "version: 1\nregistries: {a.b: {tls: disabled}}\ndefaults: {to: 'a.b/{{.Base}}'}\nsync: [{from: 'nginx:1'}]\n")
	same := write(t, dir, "same.yaml", "version: 1\nregistries: {a.b: {tls: disabled}, c.d: {}}\nsync: [{from: 'httpd:1', to: a.b/h}]\n")
	other := write(t, dir, "other.yaml", "version: 1\nregistries: {a.b: {tls: insecure}}\n")
	noTo := write(t, dir, "noto.yaml", "version: 1\nsync: [{from: nginx}]\n")

	cfg, err := config.Load([]string{one, same, one}, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Registries) != 2 || len(cfg.Entries) != 2 {
		t.Errorf("got %d registries and %d entries, want 2 and 2", len(cfg.Registries), len(cfg.Entries))
	}
	for _, test := range []struct {
		files []string
		want  string
	}{
		{[]string{one, other}, other + ":2:14"},
		{[]string{one, noTo}, noTo + ":2:8"},
		{[]string{filepath.Join(dir, "missing.yaml")}, filepath.Join(dir, "missing.yaml")},
	} {
		_, err := config.Load(test.files, config.Options{})
		list, ok := errors.AsType[*config.Errors](err)
		if !ok || len(list.Problems) != 1 || list.Problems[0].Position.String() != test.want {
			t.Errorf("%v: got %v, want a problem at %s", test.files, err, test.want)
		}
	}
}

func TestWorldReadablePasswordFile(t *testing.T) {
	dir := t.TempDir()
	password := write(t, dir, "p.txt", "x\n")
	path := write(t, dir, "c.yaml", "version: 1\nregistries: {a.b: {username: u, passwordFile: p.txt}}\nsync: [{from: a, to: b}]\n")
	for _, test := range []struct {
		mode os.FileMode
		want int
	}{{0o600, 0}, {0o640, 0}, {0o644, 1}} {
		if err := os.Chmod(password, test.mode); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load([]string{path}, config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(cfg.Warnings) != test.want {
			t.Errorf("mode %o: %d warnings, want %d: %q", test.mode, len(cfg.Warnings), test.want, cfg.Warnings)
		}
	}
}

func TestOnly(t *testing.T) {
	cfg := mustLoad(t, "version: 1\nsync: [{from: a, to: x}, {name: web, from: b, to: y}, {name: db, from: c, to: z}]\n")
	only, missing := cfg.Only([]string{"db", "a", "nothing"})
	if got, want := fmt.Sprint(only.EntryNames(), missing), "[a db] [nothing]"; got != want || len(only.Entries) != 3 {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDestination(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct{ to, from, want string }{
		{"a.b/x", "nginx:1", "a.b/x:1"},
		{"a.b/x:2", "nginx:1", "a.b/x:2"},
		{"a.b/x", "nginx@" + digest, "a.b/x@" + digest},
		{"a.b/x", "nginx:1@" + digest, "a.b/x:1"},
		{"a.b/{{.Base}}", "quay.io/team/app:1", "a.b/app:1"},
		{"a.b/{{ .Repository }}:{{.Tag}}-cn", "nginx:1", "a.b/library/nginx:1-cn"},
		{"a.b/{{.Registry}}/{{.Base}}", "quay.io/team/app:1", "a.b/quay.io/app:1"},
		{"a.b/{{.Base}}", "oci:/srv/images/app:1", "a.b/app:1"},
		{"oci:/srv/{{.Base}}", "nginx:1", "oci:/srv/nginx:1"},
	} {
		cfg := mustLoad(t, fmt.Sprintf("version: 1\nsync: [{from: %q, to: %q}]\n", test.from, test.to))
		e := cfg.Entries[0]
		got, err := e.Destinations[0].Reference(e.Sources[0].Reference)
		if err != nil || got.Familiar() != test.want {
			t.Errorf("%s of %s: got %s, %v, want %s", test.to, test.from, got.Familiar(), err, test.want)
		}
	}
}

// TestDestinationStaysInItsDirectory: the catalogue entry "team/.." pointed a layout above its
// directory. Listings leave such names out; a destination refuses them as well.
func TestDestinationStaysInItsDirectory(t *testing.T) {
	for _, test := range []struct{ to, repository, tag, want string }{
		{"oci:/srv/mirror/{{.Base}}", "team/app", "1", "oci:/srv/mirror/app:1"},
		{"oci:/srv/mirror/{{.Repository}}", "team/app", "1", "oci:/srv/mirror/team/app:1"},
		{"oci:/srv/../mirror/{{.Base}}", "team/app", "1", "oci:/mirror/app:1"}, // the configuration may
		{"oci:/srv/mirror/{{.Base}}", "team/..", "1", ""},
		{"oci:/srv/mirror/{{.Base}}", "team/.", "1", ""},
		{"oci:/srv/mirror/{{.Repository}}", "../x", "1", ""},
		{"oci:/srv/mirror/{{.Repository}}", "team/../../x", "1", ""},
		{"oci:/srv/mirror/{{.Tag}}", "team/app", "..", ""},
		{"oci:/srv/mirror/{{.Tag}}", "team/app", "../../x", ""},
		{"oci:/srv/mirror/x{{.Tag}}", "team/app", "/../../x", ""},
		{"oci:/srv/mirror/app", "team/..", "1", "oci:/srv/mirror/app:1"},
	} {
		cfg := mustLoad(t, fmt.Sprintf("version: 1\nsync: [{from: 'quay.io/team/app:1', to: %q}]\n", test.to))
		from := reference.Reference{Transport: reference.Registry, Registry: "quay.io", Repository: test.repository, Tag: test.tag}
		got, err := cfg.Entries[0].Destinations[0].Reference(from)
		if test.want == "" {
			if err == nil {
				t.Errorf("%s of %q:%q: got %s, want an error", test.to, test.repository, test.tag, got)
			}
		} else if err != nil || got.Familiar() != test.want {
			t.Errorf("%s of %q:%q: got %s, %v, want %s", test.to, test.repository, test.tag, got.Familiar(), err, test.want)
		}
	}
}

// TestAliasesAreBounded: a list of aliases of lists of aliases is a small file with
// millions of values.
func TestAliasesAreBounded(t *testing.T) {
	text := "version: 1\nsync:\n  - &e\n    from: &l [" + strings.Repeat("nginx:1, ", 300) + "nginx:1]\n    to: x.example/n\n" +
		strings.Repeat("  - *e\n", 300)
	_, err := load(t, text)
	if list, ok := errors.AsType[*config.Errors](err); !ok || len(list.Problems) != 1 || list.Problems[0].Line != 4 {
		t.Errorf("got %.500v, want one problem on line 4", err)
	}
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestLongList: a list of as many images as anybody has is no alias bomb.
func TestLongList(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "images.txt", numbered(1000, "quay.io/team/image-%d:1.0\n"))
	path := write(t, dir, "c.yaml", "version: 1\nsync: [{fromFile: images.txt, to: ["+numbered(25, "'r%d.example/x/{{.Base}}',")+"]}]\n")
	cfg, err := config.Load([]string{path}, config.Options{})
	if err != nil {
		t.Fatalf("%.500v", err)
	}
	if got := len(cfg.Entries[0].Sources); got != 1000 {
		t.Errorf("%d images, want 1000", got)
	}
}
