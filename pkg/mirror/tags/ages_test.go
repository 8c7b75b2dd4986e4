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

const day = 24 * time.Hour

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

func TestAges(t *testing.T) {
	ages := &calendar{created: map[string]time.Duration{
		"1.0": 120 * day, "1.1": 90 * day, "1.2": 30 * day, "1.3": 5 * time.Hour, "1.4": -time.Hour, "2.0": 4 * day,
	}, pushed: map[string]time.Duration{"1.0": 3 * day, "1.2": 10 * day}}
	tests := []struct {
		name   string
		blocks []rules
		want   []string
		asked  []string
	}{
		{"createdWithin", []rules{{include: "1.[0-3]", within: 90 * day}}, []string{
			"- 1.0: created 120 days ago, over createdWithin 90d",
			"+ 1.1: included by `1.[0-3]`",
			"+ 1.2: included by `1.[0-3]`",
			"+ 1.3: included by `1.[0-3]`",
		}, []string{"created 1.0", "created 1.1", "created 1.2", "created 1.3"}},
		// An age may be negative: clocks differ.
		{"createdWithin, tomorrow", []rules{{include: "1.[4x]", within: day}}, []string{
			"+ 1.4: included by `1.[4x]`",
		}, []string{"created 1.4"}},
		{"olderThan", []rules{{semver: "~1", olderThan: 30 * day, exclude: "1.0"}}, []string{
			"- 1.0: excluded by `1.0`",
			"+ 1.1: in ~1",
			"+ 1.2: in ~1",
			"- 1.3: created 5 hours ago, under olderThan 30d",
			"- 1.4: created 0 minutes ago, under olderThan 30d",
			"- 1.9: states no time of creation, and an age is asked for",
			"- 2.0: outside ~1",
		}, []string{"created 1.1", "created 1.2", "created 1.3", "created 1.4", "created 1.9"}},
		{"pushedWithin, before the image is asked", []rules{{include: "1.[029]", pushed: 7 * day, within: 90 * day}}, []string{
			"- 1.0: created 120 days ago, over createdWithin 90d",
			"- 1.2: pushed 10 days ago, over pushedWithin 7d",
			"- 1.9: the registry does not know when it was pushed, and pushedWithin is asked for",
		}, []string{"created 1.0", "pushed 1.0", "pushed 1.2", "pushed 1.9"}},
		{"a literal is past all of it", []rules{{include: "1.0 1.1", within: day}}, []string{
			"+ 1.0: included by name", "+ 1.1: included by name",
		}, nil},
		{"two blocks ask once", []rules{{include: "1.0*", within: day}, {include: "1.0*", within: 2 * day, olderThan: day}}, []string{
			"- 1.0: created 120 days ago, over createdWithin 1d",
		}, []string{"created 1.0"}},
		// A count is filled from the newest version down; 1.0 and 1.1 need not be asked about.
		{"newest by version", []rules{{semver: "~1", olderThan: day, newest: 1}}, []string{
			"- 1.0: older than the 1 newest",
			"- 1.1: older than the 1 newest",
			"+ 1.2: in ~1, among the 1 newest",
			"- 1.3: created 5 hours ago, under olderThan 1d",
			"- 1.4: created 0 minutes ago, under olderThan 1d",
			"- 1.9: states no time of creation, and an age is asked for",
			"- 2.0: outside ~1",
		}, []string{"created 1.2", "created 1.3", "created 1.4", "created 1.9"}},
		{"newest by creation", []rules{{include: "[12].*", newest: 3, by: tags.ByCreated}}, []string{
			"- 1.0: older than the 3 newest by creation",
			"- 1.1: older than the 3 newest by creation",
			"- 1.2: older than the 3 newest by creation",
			"+ 1.3: included by `[12].*`, among the 3 newest by creation",
			"+ 1.4: included by `[12].*`, among the 3 newest by creation",
			"- 1.9: older than the 3 newest by creation",
			"+ 2.0: included by `[12].*`, among the 3 newest by creation",
		}, []string{"created 1.0", "created 1.1", "created 1.2", "created 1.3", "created 1.4", "created 1.9", "created 2.0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ages.asked = nil
			s := selector(t, test.blocks...)
			got := slices.DeleteFunc(decide(t, s, []string{"1.0", "1.1", "1.2", "1.3", "1.4", "1.9", "2.0"}, ages), func(line string) bool {
				return strings.Contains(line, "not included")
			})
			compareLines(t, got, test.want)
			compareLines(t, ages.questions(), test.asked)
		})
	}
}

// What is no version has an age all the same.
func TestNewestByCreationOfDates(t *testing.T) {
	ages := &calendar{created: map[string]time.Duration{
		"RELEASE.2024-01-16T16-07-38Z": 9 * day, "RELEASE.2024-01-18T22-51-28Z": 7 * day, "RELEASE.2024-02-09T21-25-16Z": 2 * day,
		"1.0": 100 * day,
	}}
	s := selector(t, rules{newest: 2, by: tags.ByCreated})
	choice, err := s.Choose(t.Context(), []string{
		"RELEASE.2024-01-16T16-07-38Z", "RELEASE.2024-01-18T22-51-28Z", "RELEASE.2024-02-09T21-25-16Z", "1.0",
	}, ages, now())
	want := []string{"1.0", "RELEASE.2024-01-18T22-51-28Z", "RELEASE.2024-02-09T21-25-16Z"}
	if err != nil || !slices.Equal(choice.Selected(), want) {
		t.Errorf("%q, %v; want %q", choice.Selected(), err, want)
	}
}

// Builds that can be repeated state the year 1 or 1970: they would be older than anything.
func TestStatedEpochIsNoAge(t *testing.T) {
	ages := &calendar{undefined: time.Unix(0, 0)}
	compareLines(t, decide(t, selector(t, rules{olderThan: day}), []string{"1.0"}, ages), []string{
		"- 1.0: states no time of creation, and an age is asked for",
	})
}

func TestAgesFail(t *testing.T) {
	s := selector(t, rules{pushed: day})
	_, err := s.Choose(t.Context(), []string{"1.0"}, &calendar{err: content.ErrUnsupported}, now())
	if !errors.Is(err, content.ErrUnsupported) || err.Error() != "age of the tag 1.0: unsupported" {
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

func TestNeeds(t *testing.T) {
	tests := []struct {
		rules           rules
		created, pushed bool
	}{
		{rules{semver: "*", newest: 5}, false, false},
		{rules{newest: 5, by: tags.ByCreated}, true, false},
		{rules{within: day}, true, false},
		{rules{olderThan: day}, true, false},
		{rules{pushed: day}, false, true},
	}
	for _, test := range tests {
		s := selector(t, rules{}, test.rules)
		if s.NeedsCreated() != test.created || s.NeedsPushed() != test.pushed {
			t.Errorf("%s: created %v, pushed %v", s, s.NeedsCreated(), s.NeedsPushed())
		}
	}
}
