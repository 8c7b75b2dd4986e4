package tags_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/tags"
)

func now() time.Time { return time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC) }

// calendar knows the ages of tags, and who was asked about.
type calendar struct {
	created map[string]time.Duration // before now
	pushed  map[string]time.Duration
	err     error
	delay   time.Duration

	mu        sync.Mutex
	asked     []string
	at, most  int
	undefined time.Time // what is said of the others
}

var _ tags.Ages = (*calendar)(nil)

func (c *calendar) Created(_ context.Context, tag string) (time.Time, error) {
	return c.tell(c.created, "created "+tag, tag)
}

func (c *calendar) Pushed(_ context.Context, tag string) (time.Time, error) {
	return c.tell(c.pushed, "pushed "+tag, tag)
}

func (c *calendar) tell(known map[string]time.Duration, question, tag string) (time.Time, error) {
	c.mu.Lock()
	c.asked = append(c.asked, question)
	c.at++
	c.most = max(c.most, c.at)
	c.mu.Unlock()
	time.Sleep(c.delay)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at--
	if age, found := known[tag]; found {
		return now().Add(-age), c.err
	}
	return c.undefined, c.err
}

// questions are those that were asked so far, sorted.
func (c *calendar) questions() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(slices.Values(c.asked))
}

// TestAgesAskLittle: a tag is asked about once, whatever the number of blocks, and only if all other rules take it.
// A count by version is filled from the newest down.
func TestAgesAskLittle(t *testing.T) {
	ages := &calendar{
		created: map[string]time.Duration{"1.0": 120 * day, "1.1": 90 * day, "1.2": 30 * day, "1.3": 5 * time.Hour, "1.4": -time.Hour, "2.0": 4 * day},
		pushed:  map[string]time.Duration{"1.0": 3 * day, "1.2": 10 * day},
	}
	tests := []struct {
		name   string
		blocks []rules
		taken  string
		asked  []string
	}{
		{"createdWithin", []rules{{include: "1.[0-3]", within: 90 * day}}, "1.1 1.2 1.3", []string{"created 1.0", "created 1.1", "created 1.2", "created 1.3"}},
		{"olderThan", []rules{{semver: "~1", olderThan: 30 * day, exclude: "1.0"}}, "1.1 1.2", []string{"created 1.1", "created 1.2", "created 1.3", "created 1.4", "created 1.9"}},
		{"pushedWithin comes first", []rules{{include: "1.[029]", pushed: 7 * day, within: 90 * day}}, "", []string{"created 1.0", "pushed 1.0", "pushed 1.2", "pushed 1.9"}},
		{"included by name", []rules{{include: "1.0 1.1", within: day}}, "1.0 1.1", nil},
		{"two blocks", []rules{{include: "1.0*", within: day}, {include: "1.0*", within: 2 * day, olderThan: day}}, "", []string{"created 1.0"}},
		{"newest by version", []rules{{semver: "~1", olderThan: day, newest: 1}}, "1.2", []string{"created 1.2", "created 1.3", "created 1.4", "created 1.9"}},
		{"newest by creation", []rules{{include: "1.[0-2]", newest: 1, by: tags.ByCreated}}, "1.2", []string{"created 1.0", "created 1.1", "created 1.2"}},
	}
	for _, test := range tests {
		ages.asked = nil
		choice, err := selector(t, test.blocks...).Choose(t.Context(), []string{"1.0", "1.1", "1.2", "1.3", "1.4", "1.9", "2.0"}, ages, now())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(choice.Selected(), " "); got != test.taken {
			t.Errorf("%s: takes %s, want %s", test.name, got, test.taken)
		}
		if got := ages.questions(); !slices.Equal(got, test.asked) {
			t.Errorf("%s: asks %q, want %q", test.name, got, test.asked)
		}
	}
}

// TestFloatingTagIsAskedAbout: a floating tag may have another image than the newest release under it.
func TestFloatingTagIsAskedAbout(t *testing.T) {
	ages := &calendar{undefined: now().Add(-30 * day)}
	if _, err := selector(t, rules{olderThan: day, newest: 1}).Choose(t.Context(), strings.Fields("1 1.1 1.2 0.9"), ages, now()); err != nil {
		t.Fatal(err)
	}
	if got := ages.questions(); !slices.Equal(got, []string{"created 1", "created 1.2"}) {
		t.Errorf("asked %v", got)
	}
}

func TestAgesFail(t *testing.T) {
	s := selector(t, rules{pushed: day})
	_, err := s.Choose(t.Context(), []string{"1.0"}, &calendar{err: content.ErrUnsupported}, now())
	if !errors.Is(err, content.ErrUnsupported) {
		t.Errorf("an age that nobody tells: %v", err)
	}
	if _, err := s.Choose(t.Context(), []string{"1.0"}, nil, now()); !errors.Is(err, content.ErrUnsupported) {
		t.Errorf("without ages: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Choose(ctx, []string{"1.0"}, &calendar{}, now()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAgesAreAskedSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ages := &calendar{delay: time.Second}
		began := time.Now()
		var listed []string
		for i := range 80 {
			listed = append(listed, strings.Repeat("1.", i)+"1")
		}
		if _, err := selector(t, rules{within: day}).Choose(t.Context(), listed, ages, now()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second || ages.most != 8 {
			t.Errorf("80 tags took %v, %d at a time; want 10s, 8", took, ages.most)
		}
	})
}
