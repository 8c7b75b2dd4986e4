package transfer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

// A destination that lacks one tag is asked once for all that it has, and then only for
// those. A destination that lacks none is never listed.
func TestInventoryOfADestination(t *testing.T) {
	image, older := twoPlatforms(""), twoPlatforms("older")
	tests := []struct {
		name   string
		there  []string // tags at the destination, which are older there
		change func(*Job)
		want   map[string]int
	}{
		{"nothing is there", nil, nil, map[string]int{"resolve": 1, "list": 1}},
		{"all is there", []string{"1", "2", "3", "4"}, nil, map[string]int{"resolve": 4, "list": 0}},
		{"the last lacks", []string{"1", "2", "3"}, nil, map[string]int{"resolve": 4, "list": 0}},
		{"the first and the last lack", []string{"2", "3"}, nil, map[string]int{"resolve": 3, "list": 1}},
		{"a list may lag, and the tag must not move", nil,
			func(j *Job) { j.Immutable = true }, map[string]int{"resolve": 4, "list": 0}},
		{"a list may lag, and nothing is written over", nil,
			func(j *Job) { j.Overwrite = OverwriteNever }, map[string]int{"resolve": 4, "list": 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			for _, tag := range test.there {
				older.Push(t, b.MemoryRepository, tag)
			}
			var jobs []Job
			for _, tag := range []string{"1", "2", "3", "4"} {
				image.Push(t, a.MemoryRepository, tag)
				j := job("a.test/app:"+tag, "b.test/app:"+tag)
				if test.change != nil {
					test.change(&j)
				}
				jobs = append(jobs, j)
			}
			ok(t, run(t, New(w, Options{Window: 1}), jobs...)...)
			requireCounts(t, "destination", b, test.want)
			for _, j := range jobs {
				if got := b.tag(j.Source.Tag); got != image.Digest() {
					t.Errorf("tag %s points at %q, want %q", j.Source.Tag, got, image.Digest())
				}
			}
		})
	}
}

// What is side by side in one repository waits for the first answer: one question, one list.
func TestInventoryOfManyTagsAtOnce(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	var jobs []Job
	for i := range 50 {
		tag := fmt.Sprint(i)
		image.Push(t, w.at("a.test/app").MemoryRepository, tag)
		jobs = append(jobs, job("a.test/app:"+tag, "b.test/app:"+tag))
	}
	ok(t, run(t, New(w, Options{}), jobs...)...)
	requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"resolve": 1, "list": 1})
}

// On the first run with a state, a destination of a repository that was listed is listed
// before anything is asked; on later ones the tags are asked for.
func TestInventoryOfAFirstRun(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	var jobs []Job
	for _, tag := range []string{"1", "2", "3"} {
		image.Push(t, w.at("a.test/app").MemoryRepository, tag)
		jobs = append(jobs, job("a.test/app:"+tag, "b.test/app:"+tag))
	}
	options := Options{
		Abilities:    &abilities{},
		AttachedTags: func(content.Location) ([]string, bool) { return nil, true },
	}
	ok(t, run(t, New(w, options), jobs...)...)
	requireCounts(t, "the first run", w.at("b.test/app"), map[string]int{"resolve": 0, "list": 1})
	ok(t, run(t, New(w, options), jobs...)...)
	requireCounts(t, "both runs", w.at("b.test/app"), map[string]int{"resolve": 3, "list": 1})
}

// A repository that cannot be listed, or has too many tags for that, is asked for each.
func TestDestinationWithoutAnInventory(t *testing.T) {
	image := twoPlatforms("")
	for name, tags := range map[string]iter.Seq2[string, error]{
		"refused": func(yield func(string, error) bool) { yield("", errBroken) },
		"endless": func(yield func(string, error) bool) {
			for i := 0; yield(fmt.Sprint("other", i), nil); i++ {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			var jobs []Job
			for _, tag := range []string{"1", "2", "3"} {
				image.Push(t, a.MemoryRepository, tag)
				jobs = append(jobs, job("a.test/app:"+tag, "b.test/app:"+tag))
			}
			image.Push(t, b.MemoryRepository, "2")
			results := run(t, New(listedAs{w, tags}, Options{Window: 1}), jobs...)
			ok(t, results...)
			requireCounts(t, "destination", b, map[string]int{"resolve": 3})
			if got := results[1].Destinations[0].Action; got != ActionUnchanged {
				t.Errorf("action %q, want %q", got, ActionUnchanged)
			}
		})
	}
}

// listedAs gives targets that list certain tags.
type listedAs struct {
	*world
	tags iter.Seq2[string, error]
}

func (l listedAs) OpenTarget(_ context.Context, ref reference.Reference) (content.Target, error) {
	return listedTarget{l.at(ref.Name()), l.tags}, nil
}

type listedTarget struct {
	*wire
	tags iter.Seq2[string, error]
}

func (l listedTarget) Tags(context.Context) iter.Seq2[string, error] { return l.tags }

// A question that fails says nothing of the other tags, and those that wait for a
// question that hangs end with their run.
func TestFirstQuestionThatIsNotAnswered(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 10))
	jobs := []Job{job("a.test/app:1", "b.test/app:1"), job("a.test/app:2", "b.test/app:2")}
	for _, j := range jobs {
		image.Push(t, a.MemoryRepository, j.Source.Tag)
	}
	b.onResolve = func(tag string) error {
		if tag == "1" {
			return errBroken
		}
		return nil
	}
	results := run(t, New(w, Options{Window: 1, FailFast: true}), jobs...)
	if !errors.Is(results[0].Err(), errBroken) || results[1].Err() != nil {
		t.Errorf("got %v and %v", results[0].Err(), results[1].Err())
	}

	synctest.Test(t, func(t *testing.T) {
		b.hold = func(ctx context.Context, what string, _ digest.Digest) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := New(w, Options{}).Run(ctx, slices.Values(jobs), func(*Result) {})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
