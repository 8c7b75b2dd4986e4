package e2e

import (
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// vanishing is a mirror whose source does not answer any more, in the middle of a layer.
type vanishing struct {
	shell          *lab.Shell
	run            *lab.Process
	storage        string
	from, to       *lab.Proxy
	gone, stayed   string
	config, report string
}

// vanish begins it. The engine gives up a source that is down after three minutes: the other tests are run meanwhile.
func (s *stage) vanish(t *testing.T) *vanishing {
	t.Helper()
	v := &vanishing{shell: s.owner(t), storage: t.TempDir()}
	registry := lab.StartRegistry(t, s.registry, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="+v.storage)
	v.from, v.to = lab.StartProxy(t, s.compose.Plain, 0), lab.StartProxy(t, registry, 1<<20)
	lab.Push(t, s.compose.Plain+"/vanishing/app:1", lab.Image(t, "linux/amd64", lab.Layer(t, 460, 48<<20)))
	lab.Push(t, s.compose.Plain+"/staying/app:1", threePlatforms(t, 462))
	v.gone, v.stayed = v.to.Host+"/vanished/app:1", s.compose.Token+"/stayed/app:1"
	v.config = v.shell.Write(t, "mirror.yaml", `version: 1
sync:
  - {name: vanishing, from: `+quote(v.from.Host+"/vanishing/app:1")+`, to: `+quote(v.gone)+`}
  - {name: staying, from: `+quote(s.compose.Plain+"/staying/app:1")+`, to: `+quote(v.stayed)+`}
`)
	v.report = v.shell.Path("last.json")
	v.run = v.shell.Start(t, "", "sync", "-c", v.config, "--report", v.report)
	waitForBytes(t, v.storage, 64<<10)
	v.from.Vanish()
	v.to.Rate(0)
	return v
}

// sourceVanishes: the other entries arrive, and when the source is back --failed-only does the rest, and nothing else.
func (s *stage) sourceVanishes(t *testing.T, v *vanishing) {
	ended := v.run.Wait(t)
	if ended.Code != 3 {
		t.Errorf("exit code %d, want 3\n%s", ended.Code, ended.Stderr)
	}
	wantWords(t, ended.Stderr+ended.Stdout, "source: "+v.from.Host, "connection refused")
	wantDigests(t, v.shell, lab.Digest(t, s.compose.Plain+"/staying/app:1"), v.stayed)
	if got := lab.Digest(t, v.gone); got != "" {
		t.Errorf("a tag points at %s", got)
	}
	told := readReport(t, v.report)
	if told.Run.ExitCode != 3 || told.Counts.Copied != 1 || told.Counts.Failed != 1 {
		t.Errorf("the report says %+v", told)
	}
	v.from.Return(t)
	again := v.shell.Path("again.json")
	v.shell.Regsync(t, "sync", "-c", v.config, "--failed-only", v.report, "--report", again)
	wantDigests(t, v.shell, lab.Digest(t, s.compose.Plain+"/vanishing/app:1"), v.gone)
	told = readReport(t, again)
	if told.Counts.Copied != 1 || told.Counts.Unchanged > 0 || told.Requests[s.compose.Token] > 0 {
		t.Errorf("the report says %+v", told)
	}
	if sent := lab.BlobBytesSent(wantNoUpload(t, v.storage, v.to)); sent > 49<<20 {
		t.Errorf("%d bytes were sent of 48 MiB", sent)
	}
}

// blobLost: a destination loses a blob after it was copied. A new tag that needs it gets it,
// in the same repository and in another one, although the state says where it is.
func (s *stage) blobLost(t *testing.T) {
	shell := s.owner(t)
	storage := t.TempDir()
	// With its cache distribution goes on to say that it has the blob.
	registry := lab.StartRegistry(t, s.registry, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="+storage,
		"REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR=")
	source := s.compose.Plain + "/losing/"
	common := lab.Layer(t, 470, 3<<20)
	digest, err := common.Digest()
	if err != nil {
		t.Fatal(err)
	}
	// All have one manifest in common, under which the blob is.
	image := func(seed uint64) v1.ImageIndex {
		return lab.Index(t, []string{"linux/amd64", "linux/arm64"}, func(platform string) v1.Image {
			if platform == "linux/amd64" {
				return lab.Image(t, platform, common)
			}
			return lab.Image(t, platform, lab.Layer(t, seed, 50_000))
		})
	}
	config := shell.Write(t, "mirror.yaml", `version: 1
sync:
  - {from: `+quote(source+"{one,two}")+`, to: "`+registry+`/lost/{{.Base}}"}
`)
	lab.Push(t, source+"one:1", image(471))
	lab.Push(t, source+"two:1", image(472))
	shell.Regsync(t, "sync", "-c", config)

	lost := filepath.Join(storage, "docker/registry/v2/blobs/sha256", digest.Hex[:2], digest.Hex)
	if err := os.RemoveAll(lost); err != nil {
		t.Fatal(err)
	}
	lab.Push(t, source+"one:2", image(473))
	lab.Push(t, source+"two:2", image(474))
	shell.Regsync(t, "sync", "-c", config)
	for _, image := range []string{"one:1", "one:2", "two:1", "two:2"} {
		copied := registry + "/lost/" + image
		wantDigests(t, shell, lab.Digest(t, source+image), copied)
		shell.Run(t, "docker", "pull", "--quiet", copied)
		removeImage(t, shell, copied)
	}
}
