package transfer

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// seen is a SeenMemory in memory.
type seen struct {
	mu    sync.Mutex
	round int64
	tags  map[[2]string]seenTag
}

type seenTag struct {
	image digest.Digest
	as    string
	at    int64
}

func (s *seen) Seen(repository, tag string) (image digest.Digest, as string, at, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.tags[[2]string{repository, tag}]; k.at < s.round {
		return k.image, k.as, k.at, s.round
	}
	return "", "", 0, s.round
}

func (s *seen) KeepSeen(repository, tag string, image digest.Digest, as string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tags == nil {
		s.tags = map[[2]string]seenTag{}
	}
	s.tags[[2]string{repository, tag}] = seenTag{image, as, s.round}
}

func (s *seen) ForgetSeen(repository, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.tags {
		if k[0] == repository && (tag == "" || k[1] == tag) {
			delete(s.tags, k)
		}
	}
}

// Each tag is due once in so many rounds, also if only every third round is one of its own.
func TestDue(t *testing.T) {
	const every = 20
	for i := range 1000 {
		name := fmt.Sprintf("a.test/app:v%d", i)
		for _, step := range []int64{1, 3} {
			at, times := int64(1), 0
			for now := at + step; now <= 1+every*step; now += step {
				if due(name, every, at, now) {
					at, times = now, times+1
				}
			}
			if at+every*step <= 1+every*step || times != int(step) {
				t.Fatalf("%s, every %d rounds: due %d times in %d", name, step, times, every*step)
			}
		}
		if !due(name, 1, 5, 6) {
			t.Fatalf("%s is not due in each round", name)
		}
	}
}

// verified are jobs for the tags 0 to n-1, which the two repositories have.
func verified(t *testing.T, w *world, n int) (jobs []Job) {
	t.Helper()
	image := twoPlatforms("")
	for i := range n {
		tag := fmt.Sprint("v", i)
		image.Push(t, w.at("a.test/app").MemoryRepository, tag)
		j := job("a.test/app:"+tag, "b.test/app:"+tag)
		j.VerifyEvery = 20
		jobs = append(jobs, j)
	}
	return jobs
}

// A tag that was changed ends the trust in its repository for the run, also for tags that were trusted before; another
// repository is not affected.
func TestChangedTagEndsTheTrustInItsRepository(t *testing.T) {
	w, memory, tags := newWorld(), &seen{round: 1}, 60
	jobs := verified(t, w, tags)
	for i := range jobs {
		jobs[i].Destinations = append(jobs[i].Destinations, job("a.test/app:1", "c.test/app:"+jobs[i].Source.Tag).Destinations...)
	}
	ok(t, run(t, New(w, Options{Seen: memory}), jobs...)...)
	other := twoPlatforms("other")
	for i := range tags {
		other.Push(t, w.at("b.test/app").MemoryRepository, fmt.Sprint("v", i))
	}
	memory.round++
	resolved := func(name string) int { return w.at(name).times("resolve") }
	before := map[string]int{"b.test/app": resolved("b.test/app"), "c.test/app": resolved("c.test/app")}

	results := run(t, New(w, Options{Seen: memory}), jobs...)
	ok(t, results...)
	warned, trusted := 0, 0
	for _, r := range results {
		if slices.ContainsFunc(r.Warnings, func(w warning.Warning) bool { return w.Kind == warning.SeenChanged }) {
			warned++
		}
		if r.Destinations[0].Action != ActionMove || r.Destinations[0].Previous != other.Digest() {
			t.Errorf("%+v, want it to move", r.Destinations[0])
		}
		if r.Destinations[1].Rule.Kind == RuleSeen {
			trusted++
		}
	}
	if len(results) != tags || warned != 1 {
		t.Errorf("%d results, %d with a warning, want %d, 1", len(results), warned, tags)
	}
	if got := resolved("b.test/app") - before["b.test/app"]; got != tags {
		t.Errorf("the repository was asked %d times, want each tag once", got)
	}
	if got := resolved("c.test/app") - before["c.test/app"]; got+trusted != tags || got > tags/3 {
		t.Errorf("the other repository was asked %d times and trusted %d times", got, trusted)
	}
}

// If the destination already has the source's image, there is no warning, even if another client moved the tag.
func TestTagThatAnotherMirrorHasMoved(t *testing.T) {
	w, memory := newWorld(), &seen{round: 1}
	jobs := verified(t, w, 5)
	ok(t, run(t, New(w, Options{Seen: memory}), jobs...)...)
	newer := twoPlatforms("newer")
	for _, name := range []string{"a.test/app", "b.test/app"} {
		for i := range jobs {
			newer.Push(t, w.at(name).MemoryRepository, fmt.Sprint("v", i))
		}
	}
	memory.round++
	for _, r := range run(t, New(w, Options{Seen: memory}), jobs...) {
		if len(r.Warnings) > 0 || r.Destinations[0].Action != ActionUnchanged || r.Destinations[0].Rule != (Rule{}) {
			t.Errorf("%+v, with %v", r.Destinations[0], r.Warnings)
		}
	}
}

// A push that fails leaves nothing to trust: the tag may have moved.
func TestFailedPushIsForgotten(t *testing.T) {
	w, memory := newWorld(), &seen{round: 1}
	jobs := verified(t, w, 1)
	ok(t, run(t, New(w, Options{Seen: memory}), jobs...)...)
	if len(memory.tags) != 1 {
		t.Fatalf("remembered %v", memory.tags)
	}
	twoPlatforms("newer").Push(t, w.at("a.test/app").MemoryRepository, "v0")
	w.at("b.test/app").onPushManifest = func(content.Descriptor, string) error { return errBroken }
	memory.round++
	run(t, New(w, Options{Seen: memory}), jobs...)
	if len(memory.tags) != 0 {
		t.Errorf("remembered %v", memory.tags)
	}
}

// The results of trusted tags wait for the end of the run; that does not make them copies that took long, whose tag is
// resolved again.
func TestTrustedTagsAreResolvedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, memory := newWorld(), &seen{round: 1}
		jobs := verified(t, w, 20)
		ok(t, run(t, New(w, Options{Seen: memory}), jobs...)...)
		memory.round++
		twoPlatforms("slow").Push(t, w.at("a.test/slow").MemoryRepository, "1")
		w.at("a.test/slow").onFetch = func(_ content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			time.Sleep(2 * time.Minute)
			return body, nil
		}
		before := w.at("a.test/app").times("resolve")
		results := run(t, New(w, Options{Seen: memory}), append(jobs, job("a.test/slow:1", "b.test/slow:1"))...)
		ok(t, results...)
		if got := w.at("a.test/app").times("resolve") - before; got != len(jobs) {
			t.Errorf("the source was asked %d times for %d tags", got, len(jobs))
		}
		for _, r := range results {
			if d := r.Destinations[0]; d.Rule.Kind == RuleSeen && (r.Digest == "" || d.Digest != r.Digest || r.Elapsed > time.Minute) {
				t.Errorf("a trusted tag: %+v", r)
			}
		}
	})
}
