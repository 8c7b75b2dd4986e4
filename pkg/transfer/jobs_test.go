package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

// opener gives a source of its own, and the world's targets.
type opener struct {
	*world
	source content.Source
}

func (o opener) OpenSource(context.Context, reference.Reference) (content.Source, error) {
	return o.source, nil
}

func TestDestinationsAreJudgedOneByOne(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	twoPlatforms("old").Push(t, w.at("c.test/app").MemoryRepository, "1")
	w.at("d.test/app").onResolve = func(string) error { return content.ErrUnauthorized }
	results := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1", "c.test/app:1", "d.test/app:1"))
	var got []Action
	for _, d := range results[0].Destinations {
		got = append(got, d.Action)
	}
	if want := []Action{ActionAdd, ActionMove, ActionNone}; !slices.Equal(got, want) {
		t.Errorf("actions %v, want %v", got, want)
	}
	for _, name := range []string{"b.test/app", "c.test/app"} {
		if w.at(name).tag("1") != image.Digest() {
			t.Errorf("%s did not get the image", name)
		}
	}
	if err := results[0].Err(); !errors.Is(err, content.ErrUnauthorized) || !strings.HasPrefix(err.Error(), "destination d.test/app:1: ") {
		t.Errorf("error %v does not name the destination", err)
	}
}

func TestMissingTagNamesTheSource(t *testing.T) {
	w := newWorld()
	results := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))
	err := results[0].Err()
	if !errors.Is(err, content.ErrNotFound) || !strings.HasPrefix(err.Error(), "source a.test/app:1: ") {
		t.Errorf("error %v does not say that the source lacks the tag", err)
	}
}

func TestSameDestinationTwiceIsDoneOnce(t *testing.T) {
	w := newWorld()
	twoPlatforms("").Push(t, w.at("a.test/app").MemoryRepository, "1")
	results := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1", "b.test/app:1"))
	ok(t, results...)
	if len(results[0].Destinations) != 1 || len(results[0].Warnings) != 1 {
		t.Errorf("%d destinations, warnings %v; want one of each", len(results[0].Destinations), results[0].Warnings)
	}
	requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"put": 3})
}

func TestDestinationThatIsTheSource(t *testing.T) {
	w := newWorld()
	twoPlatforms("").Push(t, w.at("a.test/app").MemoryRepository, "1")
	results := run(t, New(w, Options{}), job("a.test/app:1", "a.test/app:1"))
	ok(t, results...)
	if results[0].Destinations[0].Action != ActionUnchanged || len(results[0].Warnings) != 1 {
		t.Errorf("got %v with warnings %v", results[0].Destinations[0].Action, results[0].Warnings)
	}
}

func TestCopyWithinARegistryMovesNoBytes(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	e := New(w, Options{})
	ok(t, run(t, e, job("a.test/app:1", "a.test/other:1"))...)
	image.Check(t, w.at("a.test/other").MemoryRepository)
	if sent := e.Counters.Sent.Load(); sent != 0 {
		t.Errorf("%d bytes were sent within one registry", sent)
	}
}

func TestDestinationWithoutATagTakesTheSources(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := job("a.test/app:1", "b.test/app")
	j.Destinations[0].Tag = ""
	ok(t, run(t, New(w, Options{}), j)...)
	if w.at("b.test/app").tag("1") != image.Digest() {
		t.Error("the source's tag is not at the destination")
	}
}

func TestForeignLayersAreLeftOut(t *testing.T) {
	for _, all := range []bool{false, true} {
		w := newWorld()
		foreign := contenttest.NewBlob(content.MediaTypeDockerForeignLayer, "windows", 100)
		image := contenttest.NewDockerImage("windows/amd64", foreign, contenttest.NewLayer("own", 100))
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		foreign.Push(t, w.at("a.test/app").MemoryRepository)
		j := job("a.test/app:1", "b.test/app:1")
		j.ForeignLayers = all
		ok(t, run(t, New(w, Options{}), j)...)
		image.Check(t, w.at("b.test/app").MemoryRepository)
		if has, _ := w.at("b.test/app").MemoryRepository.HasBlob(t.Context(), foreign.Descriptor); has != all {
			t.Errorf("with ForeignLayers %v the foreign layer is there: %v", all, has)
		}
	}
}

func TestPlanReadsOnly(t *testing.T) {
	w := newWorld()
	twoPlatforms("").Push(t, w.at("a.test/app").MemoryRepository, "1")
	j1, j2 := job("a.test/app:1", "b.test/app:1"), job("a.test/app:none", "b.test/app:2")
	var plans []*Plan
	var errs []error
	for plan, err := range New(w, Options{}).Plan(t.Context(), slices.Values([]Job{j1, j2})) {
		plans, errs = append(plans, plan), append(errs, err)
	}
	if len(plans) != 2 || errs[0] != nil || !errors.Is(errs[1], content.ErrNotFound) {
		t.Fatalf("plans %v, errors %v", plans, errs)
	}
	d := plans[0].Destinations[0]
	if d.Action != ActionAdd || len(d.Blobs) != 7 || d.Bytes() < 10_000 {
		t.Errorf("plan says %s, %d blobs, %d bytes", d.Action, len(d.Blobs), d.Bytes())
	}
	requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"probe": 0, "start": 0, "put": 0, "mount": 0})
	requireCounts(t, "source", w.at("a.test/app"), map[string]int{"fetch": 0})
}

// An ended context leaves no goroutine, no open upload and no tag behind: synctest fails
// the test where a goroutine stays.
func TestCancelledRunLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		twoPlatforms("").Push(t, w.at("a.test/app").MemoryRepository, "1")
		ctx, cancel := context.WithCancel(t.Context())
		b := w.at("b.test/app")
		b.onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
			return hangingReader{ctx}, nil
		}
		time.AfterFunc(time.Second, cancel)
		var results []*Result
		err := New(w, Options{}).Run(ctx, slices.Values([]Job{job("a.test/app:1", "b.test/app:1", "c.test/app:1")}),
			func(r *Result) { results = append(results, r) })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v, want %v", err, context.Canceled)
		}
		if len(results) != 1 || results[0].Destinations[0].Err == nil {
			t.Fatalf("results %v", results)
		}
		if b.tag("1") != "" {
			t.Error("a tag stands at the destination")
		}
		if starts, cancels := b.times("commit"), b.times("cancel"); cancels < starts {
			t.Errorf("%d uploads begun, %d cancelled", starts, cancels)
		}
	})
}

// hangingReader yields nothing until ctx ends.
type hangingReader struct{ ctx context.Context }

func (r hangingReader) Read([]byte) (int, error) { <-r.ctx.Done(); return 0, r.ctx.Err() }
