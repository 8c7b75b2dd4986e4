package e2e

import (
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// sync mirrors two repositories to two registries, twice; then a tag moves.
func (s *stage) sync(t *testing.T) {
	shell := s.owner(t)
	team := s.compose.Plain + "/mirrored/"
	lab.Push(t, team+"one:1.0", threePlatforms(t, 140))
	lab.Push(t, team+"one:1.1", threePlatforms(t, 150))
	lab.Push(t, team+"one:edge", threePlatforms(t, 160))
	lab.Push(t, team+"two:1.0", lab.Image(t, "linux/amd64", lab.Layer(t, 140, 100_000)))
	config := shell.Write(t, "mirror.yaml", `version: 1
registries:
  `+quote(s.compose.Secure)+`: {ca: `+quote(s.materials.CA())+`}
defaults:
  to: [`+quote(s.compose.Secure+"/mirror/{{.Base}}")+`, `+quote(s.compose.Token+"/mirror/{{.Base}}")+`]
sync:
  - from: `+quote(team+"one")+`
    tags: {include: ["1.*"]}
  - from: `+quote(team+"two:1.0")+`
`)
	planned := shell.Regsync(t, "sync", "-c", config, "--dry-run")
	if !strings.Contains(planned.Stdout, "mirror/one") {
		t.Errorf("the plan does not name the destination:\n%s", planned.Stdout)
	}
	shell.Want(t, 1, "digest", s.compose.Secure+"/mirror/one:1.0")

	shell.Regsync(t, "sync", "-c", config)
	for _, host := range []string{s.compose.Secure, s.compose.Token} {
		for from, to := range map[string]string{"one:1.0": "one:1.0", "one:1.1": "one:1.1", "two:1.0": "two:1.0"} {
			wantDigests(t, shell, lab.Digest(t, team+from), host+"/mirror/"+to)
		}
		if tags := shell.Regsync(t, "tags", host+"/mirror/one").Stdout; strings.Contains(tags, "edge") {
			t.Errorf("a tag that was not asked for was mirrored:\n%s", tags)
		}
	}
	shell.Regsync(t, "sync", "-c", config)

	lab.Push(t, team+"two:1.0", lab.Image(t, "linux/amd64", lab.Layer(t, 141, 100_000)))
	shell.Regsync(t, "sync", "-c", config)
	wantDigests(t, shell, lab.Digest(t, team+"two:1.0"), s.compose.Secure+"/mirror/two:1.0", s.compose.Token+"/mirror/two:1.0")
}

func quote(s string) string { return `"` + s + `"` }

// nothingToDo: an image copied onto itself, and to one place twice.
func (s *stage) nothingToDo(t *testing.T) {
	shell := s.owner(t)
	image := s.compose.Plain + "/nothing/app:1"
	lab.Push(t, image, lab.Image(t, "linux/amd64", lab.Layer(t, 170, 1000)))
	shell.Regsync(t, "copy", image, image)

	twice := s.compose.Plain + "/nothing/copied:1"
	warned := shell.Regsync(t, "copy", image, twice, twice)
	if !strings.Contains(warned.Stderr, twice) {
		t.Errorf("no warning about the destination given twice:\n%s", warned.Stderr)
	}
	wantDigests(t, shell, lab.Digest(t, image), twice)
}
