package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// slowly is a mirror whose destination takes as many bytes a second as a test lets it take:
// one image of many layers, one upload at a time.
type slowly struct {
	shell   *lab.Shell
	to      *lab.Proxy
	storage string // of the destination
	config  string
	image   string // at the source
}

func (s *stage) slowly(t *testing.T, name string, seed uint64) *slowly {
	t.Helper()
	m := &slowly{shell: s.owner(t), storage: t.TempDir(), image: s.compose.Plain + "/slowly/" + name + ":1"}
	var layers []v1.Layer
	for i := range uint64(6) {
		layers = append(layers, lab.Layer(t, seed+i, 256<<10))
	}
	lab.Push(t, m.image, lab.Image(t, "linux/amd64", layers...))
	registry := lab.StartRegistry(t, s.registry, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="+m.storage)
	m.to = lab.StartProxy(t, registry, 64<<10)
	m.config = m.shell.Write(t, "mirror.yaml", `version: 1
registries:
  `+quote(m.to.Host)+`: {maxConnections: 3}
sync:
  - {from: `+quote(m.image)+`, to: `+quote(m.to.Host+"/slowly/copied")+`}
`)
	return m
}

// arrived are the blobs that the destination has, with their sizes.
func (m *slowly) arrived(t *testing.T) map[string]int64 {
	t.Helper()
	root := filepath.Join(m.storage, "docker/registry/v2")
	links, err := filepath.Glob(filepath.Join(root, "repositories/slowly/copied/_layers/sha256/*/link"))
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string]int64{}
	for _, link := range links {
		hex := filepath.Base(filepath.Dir(link))
		blobs["sha256:"+hex] = fileSize(t, filepath.Join(root, "blobs/sha256", hex[:2], hex, "data"))
	}
	return blobs
}

func sum(blobs map[string]int64) (bytes int64) {
	for _, size := range blobs {
		bytes += size
	}
	return bytes
}

// right wants the copy to be whole and what the source has.
func (m *slowly) right(t *testing.T) {
	t.Helper()
	wantDigests(t, m.shell, lab.Digest(t, m.image), m.to.Host+"/slowly/copied:1")
	m.shell.Run(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false",
		"docker://"+m.to.Host+"/slowly/copied:1", "oci:"+m.shell.Path("whole")+":1")
}

// twoRuns: of two runs of one configuration the second waits, and then finds nothing to do.
func (s *stage) twoRuns(t *testing.T) {
	m := s.slowly(t, "two", 430)
	first := m.shell.Start(t, "", "sync", "-c", m.config)
	waitForBytes(t, m.storage, 16<<10)
	second := m.shell.Start(t, "", "sync", "-c", "./mirror.yaml")
	second.Await(t, "waiting up to 1h")
	skipped := m.shell.Regsync(t, "sync", "-c", m.config, "--skip-if-running")
	wantWords(t, skipped.Stderr, "another run of "+m.config+" has been in progress since ", "; skipping")
	late := m.shell.Want(t, 1, "sync", "-c", m.config, "--lock-wait", "0s")
	wantWords(t, late.Stderr, "error: another run of "+m.config+" has been in progress since ")

	m.to.Rate(0)
	for _, run := range []*lab.Process{first, second} {
		if ended := run.Wait(t); ended.Code != 0 {
			t.Errorf("exit code %d\n%s", ended.Code, ended.Stderr)
		} else if run == second {
			wantWords(t, ended.Stdout, "1 unchanged")
		}
	}
	m.right(t)
	if sent, want := lab.BlobBytesSent(m.to.Take()), sum(m.arrived(t)); sent != want {
		t.Errorf("%d bytes were sent, want each of %d once", sent, want)
	}
}

// killed: the lock is free at once, and what has arrived is not sent again.
func (s *stage) killed(t *testing.T) {
	m := s.slowly(t, "killed", 440)
	m.to.Rate(1 << 20)
	run := m.shell.Start(t, "", "sync", "-c", m.config)
	waitForBytes(t, m.storage, 600<<10)
	run.Signal(t, syscall.SIGKILL)
	if ended := run.Wait(t); ended.Code != -1 {
		t.Fatalf("it ended before it was killed, with %d\n%s", ended.Code, ended.Stderr)
	}
	m.to.Vanish() // waits for the end of what the killed run has asked
	m.to.Return(t)
	m.to.Rate(0)
	m.to.Take()
	there := m.arrived(t)
	if len(there) == 0 {
		t.Fatal("nothing has arrived")
	}
	continued := m.shell.Regsync(t, "sync", "-c", m.config)
	wantWarnings(t, continued)
	m.right(t)
	asked := m.to.Take()
	for _, e := range asked {
		if _, digest, put := strings.Cut(e.Path, "digest=sha256%3A"); put && there["sha256:"+digest] > 0 {
			t.Errorf("%s %s: it had arrived before", e.Method, e.Path)
		}
	}
	if sent, most := lab.BlobBytesSent(asked), sum(m.arrived(t))-sum(there); sent > most {
		t.Errorf("%d bytes were sent, want at most %d", sent, most)
	}
}

// drained: after SIGTERM the blob under way arrives, and the next run sends the rest.
func (s *stage) drained(t *testing.T) {
	m := s.slowly(t, "drained", 450)
	report := m.shell.Path("last.json")
	run := m.shell.Start(t, "", "sync", "-c", m.config, "--drain", "1m", "--report", report)
	waitForBytes(t, m.storage, 16<<10)
	run.Signal(t, syscall.SIGTERM)
	run.Await(t, "finishing transfers in progress (up to 1m)")
	m.to.Rate(0)
	if ended := run.Wait(t); ended.Code != 143 {
		t.Errorf("exit code %d, want 143\n%s", ended.Code, ended.Stderr)
	}
	if told := readReport(t, report); told.Run.ExitCode != 143 || told.Counts.Deferred != 1 || told.Counts.Failed > 0 {
		t.Errorf("the report says %+v", told)
	}
	there, sent := m.arrived(t), lab.BlobBytesSent(m.to.Take())
	if len(there) == 0 || len(there) == 7 || sent != sum(there) {
		t.Errorf("%d of 7 blobs arrived, with %d bytes; %d were sent", len(there), sum(there), sent)
	}
	if got := lab.Digest(t, m.to.Host+"/slowly/copied:1"); got != "" {
		t.Errorf("a tag points at %s", got)
	}

	m.to.Take()
	m.shell.Regsync(t, "sync", "-c", m.config, "--failed-only", report)
	m.right(t)
	if sent, want := lab.BlobBytesSent(m.to.Take()), sum(m.arrived(t))-sum(there); sent != want {
		t.Errorf("the next run sent %d bytes, want the %d that were missing", sent, want)
	}
}
