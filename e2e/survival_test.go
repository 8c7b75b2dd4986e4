package e2e

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// TestSurvival mirrors between real registries while one of them, the network or regsync itself is stopped,
// killed or cut off amid blobs. It needs no Docker. Whatever happens, each tag at the destination is complete
// or not there, and exit code and report are true.
func TestSurvival(t *testing.T) {
	dir := t.TempDir()
	regsync, err := lab.BuildRegsync(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := lab.BuildRegistry(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	old, err := lab.OldRegistry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	storage := lab.NewStorage(t)
	storage.SmallImages("app", 4, 9, 64<<10, 256<<10)  // what arrives early
	storage.SmallImages("large", 1, 1, 16<<20, 32<<20) // what is in flight: more than the buffers on the way hold
	for _, engine := range []struct{ name, file string }{{"distribution 3.1", registry}, {"distribution 2.8", old}} {
		for _, event := range []struct {
			name string
			test func(*testing.T, *survival)
		}{
			{"source paused", sourcePaused},
			{"destination paused", destinationPaused},
			{"source killed", sourceKilled},
			{"destination killed", destinationKilled},
			{"destination emptied", destinationEmptied},
			{"network cut", networkCut},
			{"regsync killed", regsyncKilled},
		} {
			t.Run(engine.name+", "+event.name, func(t *testing.T) {
				t.Parallel()
				s := newSurvival(t, regsync, engine.file, storage)
				s.keepsUploads = engine.file == registry
				event.test(t, s)
			})
		}
	}
}

// survival is a mirror of a storage, whose source and destination are of one version.
type survival struct {
	storage        *lab.Storage
	source, mirror *lab.Registry
	from, to       *lab.Proxy
	shell          *lab.Shell
	config, report string
	keepsUploads   bool // the destination keeps an upload whose connection broke
}

func newSurvival(t *testing.T, regsync, registry string, storage *lab.Storage) *survival {
	t.Helper()
	s := &survival{
		storage: storage, source: storage.Run(t, registry), mirror: lab.NewRegistry(t, registry),
		shell: lab.NewShell(t, regsync),
	}
	s.from, s.to = lab.StartProxy(t, s.source.Host, 0), lab.StartProxy(t, s.mirror.Host, 12e6)
	s.config = lab.MirrorAll(t, s.shell, storage, s.from.Host, s.to.Host, "")
	s.report = s.shell.Path("report.json")
	return s
}

// start starts regsync, and waits until some tags are there and blobs are in flight.
func (s *survival) start(t *testing.T) *lab.Process {
	t.Helper()
	run := s.shell.Start(t, "", "sync", "-c", s.config, "--report", s.report)
	s.mirror.Await(t, "*/*/_manifests/tags/*/current/link", 1)
	s.mirror.Await(t, "*/*/_uploads/*/data", 512<<10) // of a large blob
	return run
}

// outcome is how a run ended, and what the destination has then.
type outcome struct {
	code     int
	report   *nightReport
	complete int // tags
}

// end waits for the end of a run, whose speed is no longer limited, and checks that exit code, report and
// destination agree. lost means that the destination may have lost tags after they were written.
func (s *survival) end(t *testing.T, run *lab.Process, lost bool) outcome {
	t.Helper()
	s.to.Rate(0)
	ended := run.Wait(t)
	o := outcome{code: ended.Code, report: readReport(t, s.report), complete: s.storage.WantComplete(t, s.mirror.Host)}
	if t.Failed() || o.code != 0 && o.code != 3 {
		t.Fatalf("exit code %d\n%s", o.code, ended.Stderr)
	}
	s.wantTrue(t, o, lost)
	if o.code == 0 {
		s.wantNothingLeft(t)
	}
	return o
}

// wantTrue wants a report to say what became of each tag.
func (s *survival) wantTrue(t *testing.T, o outcome, lost bool) {
	t.Helper()
	tags, counts := map[string]string{}, o.report.Counts
	for _, r := range s.storage.Repositories {
		for tag, digest := range r.Tags {
			tags[s.to.Host+"/"+r.Name+":"+tag] = digest.String()
		}
	}
	if sum := counts.Copied + counts.Unchanged + counts.Failed + counts.Deferred; sum != len(tags) || counts.Skipped > 0 {
		t.Errorf("the report counts %+v, want %d in all", counts, len(tags))
	}
	if done := counts.Failed == 0 && counts.Deferred == 0; o.report.Run.ExitCode != o.code || done != (o.code == 0) {
		t.Errorf("exit code %d; the report says %d, and counts %+v", o.code, o.report.Run.ExitCode, counts)
	}
	if written := counts.Copied + counts.Unchanged; o.complete > written || o.complete < written && !lost {
		t.Errorf("%d tags are there, the report says %+v", o.complete, counts)
	}
	for _, item := range o.report.Items {
		for _, d := range item.Destinations {
			there := lab.Digest(t, s.mirror.Host+d.Ref[len(s.to.Host):])
			switch {
			case d.Status == "failed" || d.Status == "deferred":
				if there != "" || d.Error == nil && d.Rule == nil && item.Error == nil {
					t.Errorf("%s is at %q; the report says that it is %s: %+v", d.Ref, there, d.Status, d.Error)
				}
			case there != tags[d.Ref] && (there != "" || !lost):
				t.Errorf("%s is at %q, want %s: the report says that it is %s", d.Ref, there, tags[d.Ref], d.Status)
			}
		}
	}
}

// wantNothingLeft wants that a run has left no temporary file and no record of an upload.
func (s *survival) wantNothingLeft(t *testing.T) {
	t.Helper()
	for _, dir := range []string{s.shell.Path("state/uploads"), s.shell.Temporary()} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				t.Errorf("%s was left behind", path)
			}
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// sync runs regsync without a fault, which then brings what is missing.
func (s *survival) sync(t *testing.T) outcome {
	t.Helper()
	return s.all(t, s.end(t, s.shell.Start(t, "", "sync", "-c", s.config, "--report", s.report), false))
}

// all wants all tags to be there, and that the run says so.
func (s *survival) all(t *testing.T, o outcome) outcome {
	t.Helper()
	if right := s.storage.WantTags(t, s.mirror.Host, nil); o.code != 0 || right != o.complete {
		t.Errorf("exit code %d; %d tags are right, and %d complete", o.code, right, o.complete)
	}
	return o
}

// unique is how many bytes of blobs there are.
func (s *survival) unique() (bytes int64) {
	blobs := map[v1.Hash]bool{}
	for _, r := range s.storage.Repositories {
		for digest, size := range r.Blobs {
			if !blobs[digest] {
				bytes += size
			}
			blobs[digest] = true
		}
	}
	return bytes
}

// wantSent wants that at most so many bytes were sent, as a ratio to what there is.
func (s *survival) wantSent(t *testing.T, most float64) {
	t.Helper()
	sent := float64(lab.BlobBytesSent(s.to.Take())) / float64(s.unique())
	if t.Logf("sent: %.2f", sent); sent > most {
		t.Errorf("%.2f times the bytes of all blobs were sent, want at most %.2f", sent, most)
	}
}

// noticed are the words that say that a side does not answer.
var noticed = []string{": retrying in ", "; retrying"}

// sourcePaused: the source is silent, its connections stay open. The destination's body waits.
func sourcePaused(t *testing.T, s *survival) {
	run := s.start(t)
	s.source.Pause(t)
	run.Await(t, ": timeout (attempt")
	s.source.Continue(t)
	s.all(t, s.end(t, run, false))
	s.wantSent(t, 1.01)
}

// destinationPaused: the destination takes nothing for some seconds.
func destinationPaused(t *testing.T, s *survival) {
	run := s.start(t)
	s.mirror.Pause(t)
	time.Sleep(3 * time.Second) // regsync says nothing about it
	s.mirror.Continue(t)
	s.all(t, s.end(t, run, false))
	s.wantSent(t, 1.01)
}

func sourceKilled(t *testing.T, s *survival) {
	run := s.start(t)
	s.source.Kill(t)
	run.Await(t, noticed...)
	s.source.Start(t)
	s.all(t, s.end(t, run, false))
	s.wantSent(t, 1.01)
}

func destinationKilled(t *testing.T, s *survival) {
	run := s.start(t)
	s.mirror.Kill(t)
	run.Await(t, noticed...)
	s.mirror.Start(t)
	o := s.end(t, run, false)
	if !s.keepsUploads {
		// Distribution 2.8 writes a manifest in place, so that a kill may leave an empty file, which it does not write again. s.end
		// has checked that each such image is counted as failed and that its tag is not there: no more than are pushed at a time.
		if o.report.Counts.Failed > 8 || o.report.Counts.Deferred > 0 {
			t.Errorf("the report counts %+v", o.report.Counts)
		}
		return
	}
	s.all(t, o)
	s.wantSent(t, 1.1)
}

// destinationEmptied: the destination comes back without what it had. It then has no tag without its blobs, and
// the next run brings the rest.
func destinationEmptied(t *testing.T, s *survival) {
	run := s.start(t)
	s.mirror.Kill(t)
	s.mirror.Empty(t)
	run.Await(t, noticed...)
	s.mirror.Start(t)
	o := s.end(t, run, true)
	t.Logf("exit code %d, %d tags", o.code, o.complete)
	s.sync(t)
}

// networkCut: all connections to both sides break, and new ones are refused for two seconds.
func networkCut(t *testing.T, s *survival) {
	run := s.start(t)
	s.from.Vanish()
	s.to.Vanish()
	run.Await(t, noticed...)
	time.Sleep(2 * time.Second)
	s.from.Return(t)
	s.to.Return(t)
	s.all(t, s.end(t, run, false))
	if s.keepsUploads {
		s.wantSent(t, 1.1)
	}
}

// regsyncKilled: regsync is killed at random moments. The run after that brings the rest; and all of it again
// where the destination has lost it, although the state knows what was there.
func regsyncKilled(t *testing.T, s *survival) {
	s.to.Rate(8e6)
	random := rand.New(rand.NewPCG(970, 0))
	const kills, first = 10, 1450 * time.Millisecond
	span := first
	complete := []int{0}
	for len(complete) <= kills {
		run := s.shell.Start(t, "", "sync", "-c", s.config, "--report", s.report)
		time.Sleep(50*time.Millisecond + time.Duration(random.Int64N(int64(span))))
		run.Signal(t, syscall.SIGKILL)
		if ended := run.Wait(t); ended.Code != -1 {
			t.Fatalf("it ended before it was killed, with %d\n%s", ended.Code, ended.Stderr)
		}
		complete = append(complete, s.storage.WantComplete(t, s.mirror.Host))
		// A machine may be too slow for a tag in so little time, and is then given more until there is one.
		if last := complete[len(complete)-1]; last == 0 {
			span += first / 2
		} else {
			span = first
		}
	}
	t.Logf("tags after each kill: %v", complete)
	if !slices.IsSorted(complete) || complete[kills] == 0 {
		t.Error("tags do not become more")
	}
	s.sync(t)
	if s.keepsUploads {
		s.wantSent(t, 1.2)
	}
	s.mirror.Kill(t)
	s.mirror.Empty(t)
	s.mirror.Start(t)
	if o := s.sync(t); o.report.Counts.Copied != o.complete {
		t.Errorf("the report says %+v of an empty registry", o.report.Counts)
	}
}
