package row

import (
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/storage"
)

func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range All() {
		if _, ok := corpusOf(r.Corpus); !ok || seen[r.Name] || r.Title == "" {
			t.Errorf("%+v: a name twice, no title, or no such corpus", r)
		}
		if line := r.Source.RoundTrip > 0; line != (r.RoundTrips > 0) || line != (r.Destination.RoundTrip > 0) {
			t.Errorf("%s: has a line, or round trips, but not both", r.Name)
		}
		seen[r.Name] = true
	}
}

func TestLimits(t *testing.T) {
	contents := map[string]*storage.Storage{}
	for _, test := range []struct {
		row        string
		requests   int
		wall       time.Duration
		read, sent int64 // in MB, rounded down
	}{
		// docs/FIGURES.md says what the 3188 requests of team are for.
		{"team-loopback", 3188, 0, 117, 117},
		{"team-line", 3188, 3733 * time.Millisecond, 117, 117},
		{"team-again-line", 20 + 2*280, 300 * time.Millisecond, 0, 0},
		{"wide-200-again", 200 + 2*200, 0, 0, 0},
	} {
		var r Row
		for _, one := range All() {
			if one.Name == test.row {
				r = one
			}
		}
		c, _ := corpusOf(r.Corpus)
		s := contents[r.Corpus]
		if s == nil {
			s = storage.New(t.TempDir())
			c.fill(s)
			contents[r.Corpus] = s
		}
		l := r.limit(s, c.byTag)
		if l.Requests != test.requests || l.Wall.Round(time.Millisecond) != test.wall || l.Read/megabyte != test.read || l.Sent/megabyte != test.sent {
			t.Errorf("%s: %+v, want %+v", r.Name, l, test)
		}
	}
}

// Three destinations are sent three times what is read once; a registry without mounts is sent each blob of each repository.
func TestLimitsOfDestinations(t *testing.T) {
	s := storage.New(t.TempDir())
	for _, name := range []string{"a/one", "a/two"} {
		r := s.Repository(name)
		r.Tag("1", r.Image("linux/amd64", name, r.Layer("shared", 1000), r.Layer(name, 100)))
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	one := Row{}.limit(s, true)
	if want := 2 + 5 + 2 + 2*5 + 1; one.Requests != want { // tags and blobs read, tags put, blobs opened and put, one mounted
		t.Errorf("%d requests, want %d", one.Requests, want)
	}
	three := Row{Destinations: 3}.limit(s, true)
	if want := 2 + 5 + 3*(2+2*5+1); three.Requests != want || three.Read != one.Read || three.Sent != 3*one.Sent {
		t.Errorf("to three: %+v, to one: %+v", three, one)
	}
	refused := Row{RefuseMounts: true}.limit(s, true)
	if refused.Requests != one.Requests+1 || refused.Read != one.Read || refused.Sent != one.Sent+1000 {
		t.Errorf("without mounts: %+v, with: %+v", refused, one)
	}
}
