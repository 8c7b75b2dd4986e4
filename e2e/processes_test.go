package e2e

import (
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/regsync/regsync/e2e/lab"
)

// TestProcesses runs several regsync processes that share a layout, the local store and the state. It needs no Docker.
func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	regsync, err := lab.BuildRegsync(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := lab.BuildRegistry(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	storage := lab.NewStorage(t)
	storage.SmallImages("app", 8, 1, 256<<10, 512<<10)
	p := processes{storage: storage, source: storage.Run(t, registry).Host, registry: registry, regsync: regsync}
	t.Run("one layout", p.oneLayout)
	t.Run("one store", p.oneStore)
	t.Run("one state", p.oneState)
}

type processes struct {
	storage                   *lab.Storage
	source, registry, regsync string
}

// atOnce runs a process for each image, all at once, and wants them to succeed.
func (p processes) atOnce(t *testing.T, shell *lab.Shell, args func(image, name string) []string) (digests map[string]string) {
	t.Helper()
	digests = map[string]string{}
	var all []*lab.Process
	for _, r := range p.storage.Repositories {
		for tag, digest := range r.Tags {
			name := path.Base(r.Name) + "-" + tag
			digests[name] = digest.String()
			all = append(all, shell.Start(t, "", args(p.source+"/"+r.Name+":"+tag, name)...))
		}
	}
	if len(all) != 8 {
		t.Fatalf("%d processes", len(all))
	}
	for _, process := range all {
		wantSuccess(t, process)
	}
	return digests
}

func wantSuccess(t *testing.T, process *lab.Process) {
	t.Helper()
	if ended := process.Wait(t); ended.Code != 0 {
		t.Errorf("%q: exit code %d\n%s", ended.Args, ended.Code, ended.Stderr)
	}
}

// Eight processes write to one layout: its index has all images.
func (p processes) oneLayout(t *testing.T) {
	t.Parallel()
	shell := lab.NewShell(t, p.regsync)
	target := shell.Path("mirror")
	digests := p.atOnce(t, shell, func(image, name string) []string { return []string{"copy", image, "oci:" + target + ":" + name} })
	index, err := layout.ImageIndexFromPath(target)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != len(digests) {
		t.Errorf("the index has %d entries", len(manifest.Manifests))
	}
	for _, entry := range manifest.Manifests {
		name := entry.Annotations["org.opencontainers.image.ref.name"]
		if digests[name] != entry.Digest.String() {
			t.Errorf("%s is %s, want %s", name, entry.Digest, digests[name])
		}
		image, err := index.Image(entry.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range layers {
			if size, err := layer.Size(); err != nil || size == 0 {
				t.Errorf("%s: a layer of %d bytes, %v", name, size, err)
			}
		}
	}
}

// Eight processes pull into one store: each image can be pushed from it.
func (p processes) oneStore(t *testing.T) {
	t.Parallel()
	shell := lab.NewShell(t, p.regsync)
	p.atOnce(t, shell, func(image, _ string) []string { return []string{"pull", image} })
	back := lab.StartRegistry(t, p.registry)
	for _, r := range p.storage.Repositories {
		for tag, digest := range r.Tags {
			to := back + "/" + r.Name + ":" + tag
			shell.Want(t, 0, "tag", p.source+"/"+r.Name+":"+tag, to)
			shell.Want(t, 0, "push", to)
			if got := lab.Digest(t, to); got != digest.String() {
				t.Errorf("%s: got %s, want %s", to, got, digest)
			}
		}
	}
}

// Two runs share one state: the short one does not wait for the long one.
func (p processes) oneState(t *testing.T) {
	t.Parallel()
	shell := lab.NewShell(t, p.regsync)
	slow, fast := lab.StartProxy(t, lab.StartRegistry(t, p.registry), 100e3), lab.StartRegistry(t, p.registry)
	long := shell.Start(t, "", "sync", "-c", lab.MirrorAll(t, shell, p.storage, p.source, slow.Host, ""))
	other := shell.Write(t, "other.yaml", fmt.Sprintf(
		"version: 1\nsync:\n  - {from: %q, to: %q}\n", p.source+"/"+p.storage.Repositories[0].Name, fast+"/{{.Repository}}"))
	began := time.Now()
	wantSuccess(t, shell.Start(t, "", "sync", "-c", other))
	if took := time.Since(began); took > 20*time.Second { // the long one takes 40
		t.Errorf("the short run took %v", took)
	}
	slow.Rate(0)
	wantSuccess(t, long)
}
