package mirror_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// preparing is an engine that records what it was to prepare.
type preparing struct {
	*bench
	mu       sync.Mutex
	prepared []string
}

func (p *preparing) Prepare(_ context.Context, to reference.Reference) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepared = append(p.prepared, to.Registry)
}

// The destinations of repositories that are listed are contacted meanwhile, each registry once. A single image needs no
// listing, and a source's own registry is contacted by the listing.
func TestDestinationsArePrepared(t *testing.T) {
	cfg := load(t, `
sync:
  - {from: [quay.io/a, quay.io/b], to: ['a.b/{{.Base}}', 'c.d/{{.Base}}', 'quay.io/copy/{{.Base}}', 'oci:./{{.Base}}']}
  - {from: 'quay.io/one:1', to: 'e.f/{{.Base}}'}
`)
	sources := &shelf{tags: map[string][]string{"quay.io/a": tagsOf(2), "quay.io/b": tagsOf(2)}}
	engine := &preparing{bench: &bench{window: 9, took: func(transfer.Job) time.Duration { return 0 }}}
	if _, err := runFor(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: sources}, nil); err != nil {
		t.Fatal(err)
	}
	slices.Sort(engine.prepared)
	compare(t, engine.prepared, []string{"a.b", "c.d"})
}

// waiting is an engine whose destinations are contacted until their answer comes or the context ends.
type waiting struct {
	*bench
	answered bool
}

func (w *waiting) Prepare(ctx context.Context, _ reference.Reference) {
	select {
	case <-time.After(time.Minute):
		w.answered = true
	case <-ctx.Done():
	}
}

// A contact once ended when all jobs were known, which may be before the first answer: the challenge of the registry was
// lost, and each job's first request cost a 401.
func TestContactOutlivesTheListing(t *testing.T) {
	cfg := load(t, entries("a"))
	synctest.Test(t, func(t *testing.T) {
		engine := &waiting{bench: &bench{window: 9, took: func(transfer.Job) time.Duration { return time.Hour }}}
		sources := &shelf{tags: map[string][]string{"quay.io/a": tagsOf(2)}}
		if _, err := runFor(t.Context(), engine, &mirror.Selection{Config: cfg, Sources: sources}, nil); err != nil {
			t.Fatal(err)
		}
		if !engine.answered {
			t.Error("the contact ended with the listing")
		}
	})
}
