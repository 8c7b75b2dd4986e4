package lanes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
)

type ticket = Ticket[int]

// queued is lanes of a test. It knows the deliveries that are open.
type queued struct {
	*Lanes[int]                 // of tags
	gone        map[string]bool // registries that are down
	open        []*ticket
}

func newQueued(places int) *queued {
	q := &queued{gone: map[string]bool{}}
	q.Lanes = New[int](places, func(registry string) bool { return q.gone[registry] })
	return q
}

// wait adds n images of an entry that go from one registry to others, with the tags 1 to n.
func (q *queued) wait(entry string, n int, from string, to ...string) {
	for i := range n {
		for _, registry := range to {
			q.Add(&ticket{From: from, To: registry, Entry: entry, Work: i + 1})
		}
	}
}

// fill opens what may be opened and names it.
func (q *queued) fill() []string {
	var names []string
	for d := q.Next(); d != nil; d = q.Next() {
		q.open = append(q.open, d)
		names = append(names, nameOf(d))
	}
	return names
}

// end ends an open delivery.
func (q *queued) end(t *testing.T, name string) {
	t.Helper()
	i := slices.IndexFunc(q.open, func(d *ticket) bool { return nameOf(d) == name })
	if i < 0 {
		t.Fatalf("%s is not open", name)
	}
	q.Leave(q.open[i])
	q.open = slices.Delete(q.open, i, i+1)
}

// nameOf is "a:1>b.test": the entry, the tag and the destination's registry.
func nameOf(d *ticket) string {
	return fmt.Sprintf("%s:%d>%s", d.Entry, d.Work, d.To)
}

// openOf is how many deliveries of an entry are open.
func (q *queued) openOf(entry string) (n int) {
	for _, d := range q.open {
		if d.Entry == entry {
			n++
		}
	}
	return n
}

func wantNames(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("opened %q, want %q", got, want)
	}
}

// Within a pair the deliveries of an entry go in the file's order, and the next one goes
// when any has ended.
func TestLaneKeepsTheOrderOfTheFile(t *testing.T) {
	q := newQueued(2)
	q.wait("a", 5, "a.test", "b.test")
	q.Close()
	wantNames(t, q.fill(), "a:1>b.test", "a:2>b.test")
	q.end(t, "a:2>b.test")
	wantNames(t, q.fill(), "a:3>b.test")
	q.end(t, "a:1>b.test")
	q.end(t, "a:3>b.test")
	wantNames(t, q.fill(), "a:4>b.test", "a:5>b.test")
}

// The next delivery of a pair is of the entry that has the fewest open; of several, of the
// one that is first in the file.
func TestEntriesShareThePlacesOfAPair(t *testing.T) {
	q := newQueued(5)
	q.wait("a", 9, "a.test", "b.test")
	q.wait("b", 1, "a.test", "b.test")
	q.wait("c", 9, "a.test", "b.test")
	wantNames(t, q.fill(), "a:1>b.test", "b:1>b.test", "c:1>b.test", "a:2>b.test", "c:2>b.test")
	q.end(t, "c:1>b.test")
	q.end(t, "b:1>b.test")
	wantNames(t, q.fill(), "c:3>b.test", "a:3>b.test")
}

// An entry whose deliveries hang leaves a quarter of the places for one that comes later,
// which needs no more to go on. When no more jobs come it may have all.
func TestHangingEntryLeavesPlaces(t *testing.T) {
	q := newQueued(16)
	q.wait("hangs", 100, "a.test", "b.test")
	q.fill()
	if got := q.openOf("hangs"); got != 12 {
		t.Fatalf("%d of 16 places are taken by one entry while more jobs may come, want 12", got)
	}
	q.wait("later", 50, "a.test", "b.test")
	q.Close()
	opened := len(q.fill())
	for ended := true; ended; {
		ended = false
		for _, d := range slices.Clone(q.open) {
			if d.Entry == "later" {
				q.end(t, nameOf(d))
				ended = true
				opened += len(q.fill())
			}
		}
	}
	if got := q.openOf("hangs"); opened != 50+4 || got != 16 {
		t.Errorf("%d opened, %d of those that hang, want 50 and 4 more, and 16", opened, got)
	}
}

// Where all places together are too few, the pair whose turn was the longest ago is next.
func TestPairsTakeTurns(t *testing.T) {
	q := newQueued(2) // of 8 in all
	for _, to := range []string{"b.test", "c.test", "d.test", "e.test", "f.test"} {
		q.wait("a", 3, "a.test", to)
	}
	q.Close()
	wantNames(t, q.fill(),
		"a:1>b.test", "a:1>c.test", "a:1>d.test", "a:1>e.test", "a:1>f.test",
		"a:2>b.test", "a:2>c.test", "a:2>d.test")
	q.end(t, "a:1>b.test")
	q.end(t, "a:2>c.test")
	q.end(t, "a:1>d.test")
	wantNames(t, q.fill(), "a:2>e.test", "a:2>f.test", "a:3>b.test")
}

// A pair whose deliveries hang keeps its own places only: the other destinations of the same
// images, and other sources, go on.
func TestFullPairLeavesTheOthersAlone(t *testing.T) {
	q := newQueued(4)
	q.wait("a", 20, "a.test", "hangs.test", "b.test")
	q.wait("c", 20, "c.test", "b.test")
	q.Close()
	for opened := q.fill(); len(opened) > 0; opened = q.fill() {
		for _, d := range slices.Clone(q.open) {
			if d.To != "hangs.test" {
				q.end(t, nameOf(d))
			}
		}
	}
	if q.waiting != 16 || len(q.open) != 4 {
		t.Errorf("%d wait and %d are open, want 16 and 4 of those that hang", q.waiting, len(q.open))
	}
}

// A registry that is down gets one delivery at a time of each pair, be it the source or the
// destination; it finds out when the registry works again. Other pairs notice nothing.
func TestRegistryThatIsDownGetsOneDeliveryAtATime(t *testing.T) {
	q := newQueued(4)
	q.gone["x.test"] = true
	q.wait("to", 6, "a.test", "x.test")
	q.wait("from", 6, "x.test", "b.test")
	q.wait("up", 2, "a.test", "b.test")
	q.Close()
	wantNames(t, q.fill(), "to:1>x.test", "from:1>b.test", "up:1>b.test", "up:2>b.test")
	q.end(t, "to:1>x.test")
	wantNames(t, q.fill(), "to:2>x.test")
	q.gone["x.test"] = false
	wantNames(t, q.fill(), "from:2>b.test", "to:3>x.test", "from:3>b.test", "to:4>x.test", "from:4>b.test", "to:5>x.test")
}

// In whatever order images come and deliveries end: each is opened once, no pair has more
// than its places, and in the end nothing is left.
func TestLanesLoseNothing(t *testing.T) {
	const places = 4
	registries := []string{"a.test", "b.test", "c.test", "d.test"}
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		q := newQueued(places)
		opened := map[*ticket]bool{}
		added := 0
		step := func() {
			for d := q.Next(); d != nil; d = q.Next() {
				if opened[d] {
					t.Fatalf("seed %d: %s is opened twice", seed, nameOf(d))
				}
				opened[d] = true
				q.open = append(q.open, d)
			}
			count := map[pair]int{}
			for _, d := range q.open {
				count[d.pair()]++
			}
			for of, n := range count {
				if n > places || len(q.open) > pairsOpen*places {
					t.Fatalf("seed %d: %d of %v and %d in all are open", seed, n, of, len(q.open))
				}
			}
		}
		leave := func() {
			i := random.IntN(len(q.open))
			q.Leave(q.open[i])
			q.open = slices.Delete(q.open, i, i+1)
		}
		for range 40 {
			entry := string(rune('a' + random.IntN(3)))
			from, n, to := registries[random.IntN(4)], 1+random.IntN(5), 1+random.IntN(3)
			q.wait(entry, n, from, registries[:to]...)
			added += n * to
			step()
			for len(q.open) > 0 && random.IntN(3) > 0 {
				leave()
				step()
			}
		}
		q.Close()
		for step(); len(q.open) > 0; step() {
			leave()
		}
		if len(opened) != added || q.waiting != 0 || q.Lanes.open != 0 || len(q.pairs) != 0 || len(q.turns) != 0 {
			t.Fatalf("seed %d: %d of %d were opened, %d wait, %d are open, %d pairs are left",
				seed, len(opened), added, q.waiting, q.Lanes.open, len(q.pairs))
		}
	}
}

// After stop nothing opens, and empty gives what has not: with nothing left, it gives nothing.
func TestStoppedLanes(t *testing.T) {
	q := newQueued(2)
	q.wait("a", 4, "a.test", "b.test", "c.test")
	q.fill()
	q.Stop()
	q.end(t, "a:1>b.test")
	wantNames(t, q.fill())
	rest := q.Empty()
	names := make([]string, len(rest))
	for i, d := range rest {
		names[i] = nameOf(d)
	}
	slices.Sort(names)
	wantNames(t, names, "a:3>b.test", "a:3>c.test", "a:4>b.test", "a:4>c.test")
	if again := q.Empty(); len(again) != 0 || q.waiting != 0 {
		t.Errorf("%d were given twice, %d still wait", len(again), q.waiting)
	}
}

// Jobs are taken until so many deliveries wait, and again when one of them is opened. The
// end of the run, by its context or by a drain, ends the waiting.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		q := newQueued(4)
		q.wait("a", MaxWaiting-1, "a.test", "b.test")
		if !q.WaitForSpace(never, never) {
			t.Fatal("there is no room for the last one")
		}
		q.wait("a", 1, "a.test", "b.test")
		for _, test := range []struct {
			name string
			end  func(draining, done chan struct{})
			want bool
		}{
			{"draining", func(draining, _ chan struct{}) { close(draining) }, false},
			{"done", func(_, done chan struct{}) { close(done) }, false},
			{"one opens", func(_, _ chan struct{}) { q.Next() }, true},
		} {
			draining, done, answer := make(chan struct{}), make(chan struct{}), make(chan bool, 1)
			go func() { answer <- q.WaitForSpace(draining, done) }()
			synctest.Wait()
			if len(answer) != 0 {
				t.Fatalf("%s: more than %d may wait", test.name, MaxWaiting)
			}
			test.end(draining, done)
			if got := <-answer; got != test.want {
				t.Errorf("%s: room says %v", test.name, got)
			}
		}
	})
}
