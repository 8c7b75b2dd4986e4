package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

func (a *aging) OpenSource(context.Context, reference.Reference) (content.Source, error) {
	return a, nil
}

// TestAgeRules: tags are chosen by the age of their images, which two entries ask for once;
// the cost is told, and what was resolved is handed on. A clock that jumps between two runs
// changes what is chosen, and breaks nothing.
func TestAgeRules(t *testing.T) {
	source := &aging{MemoryRepository: contenttest.NewMemory("quay.io").Repository("x")}
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 5 {
		source.image(t, fmt.Sprintf("v%d", i), ocispec.MediaTypeImageConfig,
			fmt.Sprintf(`{"created":%q}`, day.AddDate(0, 0, -10*i).Format(time.RFC3339)))
	}
	cfg, err := config.Load([]string{"-"}, config.Options{Stdin: strings.NewReader(`
version: 1
sync:
  - {name: young, from: quay.io/x, to: a.b/young, tags: {createdWithin: 15d}}
  - {name: old, from: quay.io/x, to: a.b/old, tags: {olderThan: 25d}}
`)})
	if err != nil {
		t.Fatal(err)
	}
	choose := func(now time.Time) (names, warnings []string) {
		s := &Selection{Config: cfg, Sources: source, Now: func() time.Time { return now }}
		for job, err := range s.Jobs(t.Context(), func(w Warning) { warnings = append(warnings, w.Err.Error()) }) {
			if err != nil {
				names = append(names, job.Entry+" has none")
				continue
			}
			if job.Resolved == nil {
				t.Errorf("%s is resolved twice", job.Source.Tag)
			}
			names = append(names, job.Entry+" "+job.Source.Tag)
		}
		slices.Sort(warnings) // two entries choose side by side
		return names, warnings
	}
	names, warnings := choose(day)
	if want := []string{"young v0", "young v1", "old v3", "old v4"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if resolves, pulls := source.resolves.Load(), source.pulls.Load(); resolves != 5 || pulls != 5 {
		t.Errorf("%d tags resolved and %d manifests read, want 5 and 5", resolves, pulls)
	}
	said := strings.Builder{}
	fmt.Fprintln(&said, strings.Join(warnings, "\n"))
	for _, test := range []struct {
		name string
		now  time.Time
		want []string
	}{
		{"back", day.AddDate(-1, 0, 0), []string{"young v0", "young v1", "young v2", "young v3", "young v4"}},
		{"forward", day.AddDate(10, 0, 0), []string{"old v0", "old v1", "old v2", "old v3", "old v4"}},
		{"to the year 1", time.Time{}, []string{"young v0", "young v1", "young v2", "young v3", "young v4"}},
	} {
		names, warnings := choose(test.now)
		if !slices.Equal(names, test.want) {
			t.Errorf("the clock jumps %s: got %v, want %v", test.name, names, test.want)
		}
		// That the other entry gets nothing is told, and is no failure.
		fmt.Fprintf(&said, "\nthe clock jumps %s\n%s\n", test.name, strings.Join(warnings, "\n"))
	}
	golden.Text(t, said.String())
}

// TestNoAgeAtAll: images that state no time are in no age's way by waiting: an entry that gets
// nothing because of them would stay empty for ever, and fails. So does one whose patterns
// match nothing. A quiet month once failed like these, every night.
func TestNoAgeAtAll(t *testing.T) {
	source := &aging{MemoryRepository: contenttest.NewMemory("quay.io").Repository("x")}
	source.image(t, "v1", ocispec.MediaTypeImageConfig, `{}`)
	cfg, err := config.Load([]string{"-"}, config.Options{Stdin: strings.NewReader(`
version: 1
sync:
  - {name: silent, from: quay.io/x, to: a.b/young, tags: {createdWithin: 15d}}
  - {name: mistyped, from: quay.io/x, to: a.b/old, tags: {include: "w*", createdWithin: 15d}}
`)})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for job, err := range (&Selection{Config: cfg, Sources: source}).Jobs(t.Context(), func(Warning) {}) {
		if _, nothing := errors.AsType[*NothingSelectedError](err); !nothing {
			t.Errorf("%s: %v", job.Entry, err)
		}
		failed++
	}
	if failed != 2 {
		t.Errorf("%d entries failed, want 2", failed)
	}
}
