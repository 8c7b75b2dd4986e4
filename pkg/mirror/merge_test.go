package mirror_test

import (
	"context"
	"errors"
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

// bench is an engine without registries. It takes all jobs at once and does so many of each
// entry at a time; each takes the time that took says. The jobs that were not begun when the
// run ends give no result.
type bench struct {
	window   int // of each entry
	took     func(transfer.Job) time.Duration
	pace     time.Duration // between two jobs that it takes
	draining <-chan struct{}

	mu    sync.Mutex
	taken []transfer.Job
}

const forever = time.Duration(-1)

func (b *bench) Run(ctx context.Context, jobs iter.Seq[transfer.Job], done func(*transfer.Result)) error {
	places := map[string]chan struct{}{}
	var open sync.WaitGroup
	for job := range jobs {
		b.take(job)
		if places[job.Entry] == nil {
			places[job.Entry] = make(chan struct{}, b.window)
		}
		place := places[job.Entry]
		open.Go(func() {
			select {
			case place <- struct{}{}:
			case <-ctx.Done():
				return
			case <-b.draining:
				return
			}
			defer func() { <-place }()
			if !b.ended(ctx) {
				done(b.do(ctx, job))
			}
		})
		time.Sleep(b.pace)
	}
	open.Wait()
	return context.Cause(ctx)
}

func (b *bench) take(job transfer.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = append(b.taken, job)
}

// order is the images of the jobs in the order in which they were taken.
func (b *bench) order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	order := make([]string, len(b.taken))
	for i, job := range b.taken {
		order[i] = job.Source.Base() + ":" + job.Source.Tag
	}
	return order
}

func (b *bench) ended(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-b.draining:
		return true
	default:
		return false
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

// TestJobsComeInTheOrderOfTheFile: a source that is still being listed is passed over. When
// it is listed, it comes before the rest of those that follow it in the file.
func TestJobsComeInTheOrderOfTheFile(t *testing.T) {
	cfg := load(t, `
defaults: {to: 'a.b/{{.Base}}', tags: {include: [1, 2]}}
sync:
  - {name: a, from: [quay.io/a1, quay.io/a2]}
  - {name: slow, from: quay.io/slow, tags: {include: '?'}}
  - {name: b, from: [quay.io/b1, quay.io/b2]}
`)
	sources := &shelf{
		tags:  map[string][]string{"quay.io/slow": {"1", "2"}},
		delay: map[string]time.Duration{"quay.io/slow": 4500 * time.Millisecond},
	}
	synctest.Test(t, func(t *testing.T) {
		engine := &bench{window: 1, took: hangs(), pace: time.Second}
		ended, err := runFor(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: sources}, nil)
		if err != nil || ended.Right() != 10 {
			t.Errorf("got %+v, %v", ended.Entries, err)
		}
		compare(t, engine.order(), []string{
			"a1:1", "a1:2", "a2:1", "a2:2", "b1:1", "slow:1", "slow:2", "b1:2", "b2:1", "b2:2",
		})
	})
}

// TestEngineTakesAllJobs: a job waits for no result of another, so that the engine can
// choose among all of them.
func TestEngineTakesAllJobs(t *testing.T) {
	cfg := load(t, entries("a", "b"))
	sources := &shelf{tags: map[string][]string{"quay.io/a": tagsOf(600), "quay.io/b": tagsOf(10)}}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, transfer.ErrDeferred)
		defer cancel()
		engine := &bench{window: 20, took: hangs("a")}
		ended, err := runFor(ctx, engine, &mirror.Selection{Config: cfg, Sources: sources}, nil)
		if got := len(engine.order()); got != 610 {
			t.Errorf("the engine has taken %d jobs, want 610", got)
		}
		a, b := ended.Entries[0], ended.Entries[1]
		if b.Unchanged != 10 || a.Deferred != 20 || a.NotBegun != 580 || a.Unlisted || !errors.Is(err, transfer.ErrDeferred) {
			t.Errorf("got %+v, %v", ended.Entries, err)
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
				ended, _ := runFor(ctx, engine, &mirror.Selection{Config: cfg, Sources: sources}, nil)
				if ended.Right() != 3 || len(ended.Failures()) != 0 || ended.Complete() || !ended.Entries[0].Unlisted {
					t.Errorf("got %+v", ended.Entries)
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
		ended, err := runFor(t.Context(), engine, selection, nil)
		if err != nil || ended.Right() != 6 {
			t.Errorf("got %+v, %v", ended.Entries, err)
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
