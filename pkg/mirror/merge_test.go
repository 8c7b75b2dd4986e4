package mirror_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// bench is an engine without registries: each job takes the time that took says, and a
// place of the window for so long.
type bench struct {
	window int
	took   func(transfer.Job) time.Duration

	mu    sync.Mutex
	ended []transfer.Job
	// most is the highest number of open jobs of each entry.
	open, most map[string]int
}

const forever = time.Duration(-1)

func (b *bench) Run(ctx context.Context, jobs iter.Seq[transfer.Job], done func(*transfer.Result)) error {
	window := make(chan struct{}, b.window)
	b.mu.Lock()
	b.open, b.most = map[string]int{}, map[string]int{}
	b.mu.Unlock()
	var open sync.WaitGroup
	for job := range jobs {
		select {
		case window <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		b.count(job, 1)
		open.Go(func() {
			defer func() { <-window }()
			result := b.do(ctx, job)
			b.count(job, -1)
			done(result)
		})
	}
	open.Wait()
	return context.Cause(ctx)
}

func (b *bench) count(job transfer.Job, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[job.Entry] += n
	b.most[job.Entry] = max(b.most[job.Entry], b.open[job.Entry])
	if n < 0 {
		b.ended = append(b.ended, job)
	}
}

func (b *bench) do(ctx context.Context, job transfer.Job) *transfer.Result {
	result := &transfer.Result{Job: job}
	var err error
	action := transfer.ActionUnchanged
	switch took := b.took(job); took {
	case forever:
		<-ctx.Done()
		action, err = transfer.ActionNone, &transfer.DeferredError{Reason: context.Cause(ctx).Error()}
	default:
		time.Sleep(took) // in a synctest bubble: no real time
	}
	for _, to := range job.Destinations {
		result.Destinations = append(result.Destinations, transfer.DestinationResult{Reference: to, Action: action, Err: err})
	}
	return result
}

// tagsOf are n tags.
func tagsOf(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("v%04d", i)
	}
	return tags
}

// entries is a configuration with an entry for each repository of quay.io, named as it is.
func entries(repositories ...string) string {
	var b strings.Builder
	b.WriteString("defaults: {to: 'a.b/{{.Base}}'}\nsync:\n")
	for _, name := range repositories {
		fmt.Fprintf(&b, "  - {name: %s, from: quay.io/%s}\n", name, name)
	}
	return b.String()
}

// hangs makes the jobs of some entries hang, and the others take a second.
func hangs(entries ...string) func(transfer.Job) time.Duration {
	return func(job transfer.Job) time.Duration {
		if slices.Contains(entries, job.Entry) || slices.Contains(entries, job.Source.Repository) {
			return forever
		}
		return time.Second
	}
}

func unchanged(o *mirror.Outcome) map[string]int {
	counts := map[string]int{}
	for _, e := range o.Entries {
		counts[e.Name] += e.Unchanged
	}
	return counts
}

// TestEntriesTakeTurns: the jobs of an entry that hang keep no other from its turn, however
// many there are, and whether or not the others are listed when they begin.
func TestEntriesTakeTurns(t *testing.T) {
	for _, test := range []struct {
		name    string
		config  string
		hanging []string
		want    map[string]int
		most    int // open jobs of a hanging entry
	}{
		{"one of three hangs", entries("a", "b", "c"), []string{"a"}, map[string]int{"a": 0, "b": 600, "c": 600}, 256},
		{"two of three hang", entries("a", "b", "c"), []string{"a", "b"}, map[string]int{"a": 0, "b": 0, "c": 600}, 256},
		{
			"ten hang before one", entries("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"),
			[]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}, map[string]int{"k": 600}, 256,
		},
		{
			"one source of an entry hangs", `
defaults: {to: 'a.b/{{.Base}}'}
sync:
  - {name: both, from: [quay.io/a, quay.io/b]}
  - {name: c, from: quay.io/c}
`, []string{"a"}, map[string]int{"both": 600, "c": 600}, 256,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := load(t, test.config)
			sources := &shelf{tags: map[string][]string{}, delay: map[string]time.Duration{}}
			for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"} {
				sources.tags["quay.io/"+name] = tagsOf(600)
				sources.delay["quay.io/"+name] = time.Second
			}
			sources.delay["quay.io/a"] = 0 // it comes first, and could fill the window
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Hour, func() { cancel(transfer.ErrDeferred) })
				engine := &bench{window: 256, took: hangs(test.hanging...)}
				outcome, _ := mirror.Run(ctx, engine, &mirror.Selection{Config: cfg, Sources: sources}, nil)
				got := unchanged(outcome)
				for name, want := range test.want {
					if got[name] != want {
						t.Errorf("%s: %d images, want %d", name, got[name], want)
					}
				}
			})
		})
	}
}

// TestHalfOfTheWindow: while another entry has jobs to give, or is still being listed, an
// entry takes half of the window; afterwards it may take all.
func TestHalfOfTheWindow(t *testing.T) {
	cfg := load(t, entries("a", "slow"))
	sources := &shelf{
		tags:  map[string][]string{"quay.io/a": tagsOf(600), "quay.io/slow": tagsOf(10)},
		delay: map[string]time.Duration{"quay.io/slow": time.Minute},
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		engine := &bench{window: 256, took: hangs("a")}
		var running sync.WaitGroup
		var outcome *mirror.Outcome
		running.Go(func() {
			outcome, _ = mirror.Run(ctx, engine, &mirror.Selection{Config: cfg, Sources: sources}, nil)
		})
		open := func() int {
			synctest.Wait()
			engine.mu.Lock()
			defer engine.mu.Unlock()
			return engine.open["a"]
		}
		time.Sleep(59 * time.Second)
		if got := open(); got != 128 {
			t.Errorf("%d jobs are open while the other entry is listed, want 128", got)
		}
		time.Sleep(time.Minute)
		if got := open(); got != 256 {
			t.Errorf("%d jobs are open when the other entry is done, want 256", got)
		}
		cancel(transfer.ErrDeferred)
		running.Wait()
		a, slow := outcome.Entries[0], outcome.Entries[1]
		if slow.Unchanged != 10 || a.Deferred != 256 || a.NotBegun != 344 || a.Unlisted || outcome.Complete() {
			t.Errorf("got %+v", outcome.Entries)
		}
	})
}

// TestTurns: with one job at a time, the entries alternate, and the sources of an entry do.
func TestTurns(t *testing.T) {
	cfg := load(t, `
defaults: {to: 'a.b/{{.Base}}', tags: {include: [1, 2, 3]}}
sync:
  - {name: a, from: quay.io/a}
  - {name: b, from: [quay.io/b1, quay.io/b2]}
`)
	engine := &bench{window: 1, took: func(transfer.Job) time.Duration { return time.Second }}
	synctest.Test(t, func(t *testing.T) {
		if _, err := mirror.Run(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: &shelf{}, Window: 1}, nil); err != nil {
			t.Fatal(err)
		}
	})
	var order []string
	for _, job := range engine.ended {
		order = append(order, job.Source.Base()+":"+job.Source.Tag)
	}
	compare(t, order, []string{"a:1", "b1:1", "a:2", "b2:1", "a:3", "b1:2", "b2:2", "b1:3", "b2:3"})
}

// waitingPlaces is an engine whose jobs of one entry wait for a destination and take no
// place.
type waitingPlaces struct {
	*bench
	entry string
}

func (w waitingPlaces) Free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := 256
	for entry, open := range w.open {
		if entry != w.entry {
			free -= open
		}
	}
	return free
}

// TestWaitingJobsTakeNoPlace: an entry whose jobs merely wait goes on beyond its half of the
// window, as far as the engine takes them.
func TestWaitingJobsTakeNoPlace(t *testing.T) {
	cfg := load(t, entries("a", "slow"))
	sources := &shelf{
		tags:  map[string][]string{"quay.io/a": tagsOf(600), "quay.io/slow": tagsOf(10)},
		delay: map[string]time.Duration{"quay.io/slow": time.Minute},
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, transfer.ErrDeferred)
		defer cancel()
		engine := waitingPlaces{&bench{window: 2000, took: hangs("a")}, "a"}
		_, _ = mirror.Run(ctx, engine, &mirror.Selection{Config: cfg, Sources: sources}, nil)
		if got := engine.most["a"]; got != 600 {
			t.Errorf("%d jobs were taken while the other entry was listed, want 600", got)
		}
	})
}

// TestHangingListings: a listing that hangs keeps nothing from being listed, not even 40 of
// them before a good one, be they entries or sources of one.
func TestHangingListings(t *testing.T) {
	for _, test := range []struct {
		name   string
		config func(names []string) string
	}{
		{"entries", func(names []string) string { return entries(names...) }},
		{"sources", func(names []string) string {
			return "sync: [{name: all, from: [quay.io/" + strings.Join(names, ", quay.io/") + "], to: 'a.b/{{.Base}}'}]\n"
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sources := &shelf{tags: map[string][]string{}, delay: map[string]time.Duration{}}
			names := make([]string, 0, 41)
			for i := range 41 {
				name := fmt.Sprintf("r%02d", i)
				names = append(names, name)
				sources.tags["quay.io/"+name] = tagsOf(3)
				sources.delay["quay.io/"+name] = time.Hour
			}
			sources.delay["quay.io/r40"] = time.Second
			cfg := load(t, test.config(names))
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, transfer.ErrDeferred)
				defer cancel()
				engine := &bench{window: 256, took: hangs()}
				outcome, _ := mirror.Run(ctx, engine, &mirror.Selection{Config: cfg, Sources: sources}, nil)
				if outcome.Right() != 3 || len(outcome.Failures()) != 0 || outcome.Complete() || !outcome.Entries[0].Unlisted {
					t.Errorf("got %+v", outcome.Entries)
				}
			})
		})
	}
}

// TestOneListing: entries that name the same repository list it once, and what belongs to
// its images is known as long as its jobs are open; names alone list nothing.
func TestOneListing(t *testing.T) {
	signature := "sha256-" + digest + ".sig"
	sources := &counting{shelf: &shelf{tags: map[string][]string{"quay.io/a": {"1", "2", signature}, "quay.io/b": {"1"}}}}
	cfg := load(t, `
sync:
  - {name: one, from: quay.io/a, to: a.b/one}
  - {name: two, from: [quay.io/a, 'quay.io/b:1'], to: 'a.b/two/{{.Base}}', tags: {include: '1*'}}
  - {name: three, from: quay.io/b, to: a.b/three, tags: {include: 1}}
  - {name: four, from: 'quay.io/a:1', to: a.b/four}
`)
	at := func(name string) content.Location { return content.Location{Registry: "quay.io", Repository: name} }
	selection := &mirror.Selection{Config: cfg, Sources: sources}
	engine := &bench{window: 256, took: func(job transfer.Job) time.Duration {
		if job.Entry == "four" {
			time.Sleep(time.Minute) // the others have ended
		}
		attached, listed := selection.AttachedTags(at(job.Source.Repository))
		if job.Source.Repository == "a" && !slices.Equal(attached, []string{signature}) || listed != (job.Source.Repository == "a") {
			t.Errorf("%s: attached %v, listed %v", job.Source.Familiar(), attached, listed)
		}
		return time.Second
	}}
	synctest.Test(t, func(t *testing.T) {
		outcome, err := mirror.Run(t.Context(), engine, selection, nil)
		if err != nil || outcome.Right() != 6 {
			t.Errorf("got %+v, %v", outcome.Entries, err)
		}
	})
	if got := fmt.Sprint(sources.listings()); got != "map[quay.io/a:1]" {
		t.Errorf("listed %s", got)
	}
	if _, listed := selection.AttachedTags(at("a")); listed {
		t.Error("the list is kept when nobody needs it any more")
	}
}

// counting counts listings by repository.
type counting struct {
	*shelf
	mu     sync.Mutex
	listed map[string]int
}

// listings are how often each repository was listed.
func (c *counting) listings() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.listed)
}

type countingRepository struct {
	repository
	listed func()
}

func (r countingRepository) Tags(ctx context.Context) iter.Seq2[string, error] {
	r.listed()
	return r.repository.Tags(ctx)
}

func (r countingRepository) Resolve(context.Context, string) (content.Descriptor, error) {
	return content.Descriptor{}, content.ErrNotFound
}

func (c *counting) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	source, err := c.shelf.OpenSource(ctx, ref)
	if err != nil {
		return nil, err
	}
	return countingRepository{source.(repository), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.listed == nil {
			c.listed = map[string]int{}
		}
		c.listed[ref.FamiliarName()]++
	}}, nil
}
