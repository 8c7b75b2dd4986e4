package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// namespaces: distribution's catalog says which repositories a pattern means, with and
// without tokens.
func (s *stage) namespaces(t *testing.T) {
	shell := s.owner(t)
	for i, repository := range []string{"space/one", "space/two", "space/deep/three", "spaceship/four", "other/one"} {
		lab.Push(t, s.compose.Plain+"/"+repository+":1", lab.Image(t, "linux/amd64", lab.Layer(t, 520+uint64(i), 1000)))
	}
	for step, names := range [][2]string{
		{s.compose.Plain + "/space/*", s.compose.Token + "/spaced/{{.Base}}"},
		{s.compose.Token + "/spaced/*", s.compose.Secure + "/spaced/{{.Base}}"},
		{s.compose.Secure + "/spac*/t*", s.compose.Plain + "/back/{{.Base}}"},
	} {
		config := shell.Write(t, fmt.Sprintf("%d.yaml", step), `version: 1
registries:
  `+quote(s.compose.Secure)+`: {ca: `+quote(s.materials.CA())+`}
sync:
  - {from: `+quote(names[0])+`, to: `+quote(names[1])+`}
`)
		shell.Regsync(t, "sync", "-c", config)
		shell.Regsync(t, "diff", "-c", config)
	}
	for _, copied := range []string{s.compose.Token + "/spaced/one:1", s.compose.Secure + "/spaced/one:1"} {
		wantDigests(t, shell, lab.Digest(t, s.compose.Plain+"/space/one:1"), copied)
	}
	wantDigests(t, shell, lab.Digest(t, s.compose.Plain+"/space/two:1"), s.compose.Plain+"/back/two:1")
	for _, none := range []string{s.compose.Token + "/spaced/three", s.compose.Token + "/spaced/four", s.compose.Plain + "/back/one"} {
		shell.Want(t, 1, "tags", none)
	}
	s.namespaceOfNobody(t)
	s.wideNamespace(t, shell)
}

// namespaceOfNobody: who may not see the catalog is told so.
func (s *stage) namespaceOfNobody(t *testing.T) {
	t.Helper()
	nobody := s.shell(t)
	config := nobody.Write(t, "nobody.yaml", `version: 1
sync:
  - {from: `+quote(s.compose.Token+"/space*/*")+`, to: `+quote(s.compose.Plain+"/nobody/{{.Base}}")+`}
`)
	refused := nobody.Want(t, 5, "sync", "-c", config)
	wantWords(t, refused.Stdout, s.compose.Token, "list repositories", "hint")
}

// wideNamespace: the catalog comes in pages, smaller ones than are asked for, and all of
// them are read.
func (s *stage) wideNamespace(t *testing.T, shell *lab.Shell) {
	t.Helper()
	storage := lab.NewStorage(t)
	for i := range 250 {
		repository := storage.Repository(fmt.Sprintf("wide/r%03d", i))
		repository.Tag("1", repository.Image("linux/amd64", repository.Name, repository.Layer("common", 1000)))
	}
	registry := lab.StartRegistry(t, s.registry, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="+storage.Dir,
		"REGISTRY_CATALOG_MAXENTRIES=100")
	wide := lab.StartProxy(t, registry, 0)
	config := shell.Write(t, "wide.yaml", `version: 1
sync:
  - {from: `+quote(wide.Host+"/wide/r?49")+`, to: `+quote(s.compose.Plain+"/wide/{{.Base}}")+`}
`)
	run := shell.Regsync(t, "sync", "-c", config)
	wantWords(t, run.Stdout, "3 tags, 3 images: 3 copied")
	pages := 0
	for _, e := range wide.Take() {
		if strings.Contains(e.Path, "_catalog") && e.Status == http.StatusOK {
			pages++
		}
	}
	if pages != 3 {
		t.Errorf("the catalog was read in %d pages, want 3 of 100", pages)
	}
}
