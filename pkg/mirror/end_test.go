package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/transfer"
)

// TestFailFast: after the first failure nothing begins, what is under way is left to the
// next run with the reason, and the outcome counts all of it.
func TestFailFast(t *testing.T) {
	cfg := load(t, entries("a", "gone", "late"))
	sources := &shelf{
		tags:  map[string][]string{"quay.io/a": tagsOf(600), "quay.io/late": tagsOf(3)},
		delay: map[string]time.Duration{"quay.io/gone": time.Minute, "quay.io/late": time.Hour},
	}
	for _, failFast := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Hour, transfer.ErrDeferred)
			defer cancel()
			started := time.Now()
			selection := &mirror.Selection{Config: cfg, Sources: sources, FailFast: failFast}
			reasons := map[string]int{}
			ended, err := runFor(ctx, &bench{window: 256, took: hangs("a")}, selection, func(r *transfer.Result) {
				for _, d := range r.Destinations {
					if errors.Is(d.Err, transfer.ErrDeferred) {
						reasons[d.Err.Error()]++
					}
				}
			})
			a, gone, late := ended.Entries[0], ended.Entries[1], ended.Entries[2]
			if !failFast {
				if late.Unchanged != 3 || len(gone.Failures) != 1 || err == nil {
					t.Errorf("without --fail-fast: %+v, %v", ended.Entries, err)
				}
				return
			}
			if err != nil {
				t.Errorf("got %v; the failures say enough", err)
			}
			if took := time.Since(started); took > 2*time.Minute {
				t.Errorf("took %s", took)
			}
			if a.Deferred != 256 || a.NotBegun != 600-256 || a.Unlisted || !late.Unlisted || len(ended.Failures()) != 1 {
				t.Errorf("got %+v", ended.Entries)
			}
			if n := reasons["stopped after the first failure, by --fail-fast"]; n != 256 {
				t.Errorf("%d jobs end with the reason, want 256: %v", n, reasons)
			}
		})
	}
}

// TestDraining: nothing begins any more, what is under way ends well, and the error says
// that something is left.
func TestDraining(t *testing.T) {
	cfg := load(t, entries("a", "b"))
	sources := &shelf{
		tags:  map[string][]string{"quay.io/a": tagsOf(600), "quay.io/b": tagsOf(1)},
		delay: map[string]time.Duration{"quay.io/b": time.Hour},
	}
	synctest.Test(t, func(t *testing.T) {
		draining := make(chan struct{})
		time.AfterFunc(90*time.Second, func() { close(draining) })
		engine := &bench{window: 256, took: func(transfer.Job) time.Duration { return time.Minute }, draining: draining}
		ended, err := runFor(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: sources, Draining: draining}, nil)
		a, b := ended.Entries[0], ended.Entries[1]
		if a.Unchanged != 512 || a.NotBegun != 88 || a.Deferred != 0 || !b.Unlisted || !errors.Is(err, transfer.ErrDeferred) {
			t.Errorf("got %+v, %v", ended.Entries, err)
		}
	})
}

// TestDrainedToTheEnd: a run that has nothing left when it is to end has ended well.
func TestDrainedToTheEnd(t *testing.T) {
	cfg := load(t, entries("a"))
	synctest.Test(t, func(t *testing.T) {
		draining := make(chan struct{})
		time.AfterFunc(30*time.Second, func() { close(draining) })
		engine := &bench{window: 256, took: func(transfer.Job) time.Duration { return time.Minute }}
		sources := &shelf{tags: map[string][]string{"quay.io/a": tagsOf(3)}}
		ended, err := runFor(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: sources, Draining: draining}, nil)
		if ended.Right() != 3 || !ended.Complete() || err != nil {
			t.Errorf("got %+v, %v", ended.Entries, err)
		}
	})
}

// TestTimeoutOfAListing: an entry's time counts from its first listing, and what it has no
// time for is left to the next run; an entry that shares the listing goes on.
func TestTimeoutOfAListing(t *testing.T) {
	cfg := load(t, `
sync:
  - {name: short, from: [quay.io/slow, quay.io/other], to: 'a.b/{{.Base}}', timeout: 1m}
  - {name: long, from: quay.io/slow, to: 'c.d/{{.Base}}'}
`)
	hour := func(ctx context.Context) error {
		select {
		case <-time.After(time.Hour):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	sources := &paged{tags: []string{"1", "2"}, before: map[int]func(context.Context) error{1: hour}}
	synctest.Test(t, func(t *testing.T) {
		var late error
		done := func(r *transfer.Result) {
			if r.Job.Entry == "short" {
				late = r.Err()
			}
		}
		ended, err := runFor(t.Context(), &bench{window: 256, took: hangs()}, &mirror.Selection{Config: cfg, Sources: sources}, done)
		timeout, typed := errors.AsType[*transfer.TimeoutError](late)
		if !typed || timeout.Entry != "short" || timeout.Timeout != time.Minute {
			t.Errorf("got %v, want a timeout", late)
		}
		short, long := ended.Entries[0], ended.Entries[1]
		if short.Deferred != 2 || !short.Unlisted || long.Unlisted || len(short.Failures) != 0 || long.Unchanged != 2 || err != nil {
			t.Errorf("got %+v, %v", ended.Entries, err)
		}
		if got := sources.opened.Load(); got != 2 {
			t.Errorf("%d listings, want 2: one a repository", got)
		}
	})
}

// TestListingFailsHalfWay: a list that breaks off, repeats itself or has no end selects
// nothing: a part of it would look as if the rest had been removed.
func TestListingFailsHalfWay(t *testing.T) {
	broken := errors.New("HTTP 500")
	for _, test := range []struct {
		name   string
		source *paged
		want   error
		right  int
	}{
		{"the second page fails", &paged{tags: tagsOf(2000), before: map[int]func(context.Context) error{
			1000: func(context.Context) error { return broken },
		}}, broken, 0},
		{"pages without end", &paged{tags: []string{"1", "2"}, endless: true}, content.ErrInvalid, 0},
		{"a page that repeats", &paged{tags: append(tagsOf(10), tagsOf(10)...)}, nil, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := load(t, entries("a"))
			synctest.Test(t, func(t *testing.T) {
				ended, err := runFor(t.Context(), &bench{window: 256, took: hangs()}, &mirror.Selection{Config: cfg, Sources: test.source}, nil)
				if err != nil || ended.Right() != test.right {
					t.Errorf("got %+v, %v", ended.Entries, err)
				}
				failures := ended.Failures()
				if test.want == nil && len(failures) != 0 || test.want != nil && (len(failures) != 1 || !errors.Is(failures[0].Err, test.want)) {
					t.Errorf("got %v, want %v", failures, test.want)
				}
			})
		})
	}
}

// TestPausedListing: repositories that cannot be listed, because their registry wants to be
// left alone until later, are left to the next run, all for the same reason. That ends no run
// with --fail-fast.
func TestPausedListing(t *testing.T) {
	cfg := load(t, "defaults: {to: 'a.b/{{.Base}}'}\nsync: [{name: a, from: [quay.io/x, quay.io/y]}, {name: b, from: 'quay.io/z:1'}]\n")
	synctest.Test(t, func(t *testing.T) {
		pause := &limit.PauseError{Registry: "quay.io", Class: limit.Small, Until: time.Now().Add(time.Hour)}
		sources := &paged{tags: []string{"1"}, before: map[int]func(context.Context) error{
			0: func(context.Context) error { return fmt.Errorf("GET /v2/x/tags/list: %w", pause) },
		}}
		selection := &mirror.Selection{Config: cfg, Sources: sources, FailFast: true}
		ended, err := runFor(t.Context(), &bench{window: 256, took: hangs()}, selection, func(r *transfer.Result) {
			for _, d := range r.Destinations {
				if r.Job.Entry == "a" && (!errors.Is(d.Err, transfer.ErrDeferred) || d.Err.Error() != pause.Error()) {
					t.Errorf("%s: %v, want %v", r.Job.Source.Familiar(), d.Err, pause)
				}
			}
		})
		a, b := ended.Entries[0], ended.Entries[1]
		if err != nil || a.Deferred != 2 || !a.Unlisted || len(a.Failures) != 0 || b.Unchanged != 1 {
			t.Errorf("got %+v, %v", ended.Entries, err)
		}
	})
}

// TestSourceThatVanishes: a repository that goes between its listing and its copies fails
// image by image, and nothing else does.
func TestSourceThatVanishes(t *testing.T) {
	w := fill(t)
	cfg := load(t, "defaults: {to: 'dst.example/{{.Base}}'}\nsync: [{name: web, from: src.example/web}, {name: db, from: src.example/db}]\n")
	gone := &vanishing{world: w, repository: "web"}
	ended, err := runFor(t.Context(), transfer.New(gone, transfer.Options{}), &mirror.Selection{Config: cfg, Sources: w}, nil)
	if err != nil {
		t.Fatal(err)
	}
	web, db := ended.Entries[0], ended.Entries[1]
	if web.Added+web.Moved+web.Unchanged != 0 || len(web.Failures) != 3 || db.Added != 1 || len(db.Failures) != 0 {
		t.Errorf("got %+v", ended.Entries)
	}
	for _, failure := range web.Failures {
		if !errors.Is(failure.Err, content.ErrNotFound) || failure.Source.Tag != failure.Destination.Tag {
			t.Errorf("%s: %v", failure.Source, failure.Err)
		}
	}
}
