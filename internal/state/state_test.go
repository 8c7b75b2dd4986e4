package state

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// warnings gathers what a person is told.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.texts)
}

// want checks that there was exactly one warning with these words, or none without any.
func (w *warnings) want(t *testing.T, words ...string) {
	t.Helper()
	texts := w.all()
	if want := min(len(words), 1); len(texts) != want {
		t.Fatalf("%d warnings, want %d: %q", len(texts), want, texts)
	}
	for _, word := range words {
		if !strings.Contains(texts[0], word) {
			t.Errorf("warning %q lacks %q", texts[0], word)
		}
	}
}

// session opens a database for the length of one run, in which there is one warning with these words, or none without
// any. It returns the warning, with the path replaced.
func session(t *testing.T, path string, use func(*Memory), words ...string) string {
	t.Helper()
	var told warnings
	m := Open(path, Options{Warn: told.add})
	use(m)
	m.Close()
	told.want(t, words...)
	return strings.ReplaceAll(strings.Join(told.all(), "\n"), path, "STATE")
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "new", "state.db") }

func sum(text string) digest.Digest { return digest.FromString(text) }

func descriptor(text string) content.Descriptor {
	return content.Descriptor{MediaType: "application/vnd.oci.image.index.v1+json", Digest: sum(text), Size: int64(len(text))}
}

var lacksARM = []warning.Warning{{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}}}

// keepAll tells a memory one of everything, and recallAll reports whether it has it all.
func keepAll(m *Memory) {
	m.KeepSelected(sum("index"), "linux/amd64", descriptor("rewritten"), lacksARM)
	m.KeepChildren(sum("index"), []digest.Digest{sum("a"), sum("b")})
	m.KeepCopied("from:1", "to:1", sum("index"))
	m.KeepAbility("a.example", "referrers", "no")
	m.KeepCreated(sum("index"), time.Unix(1700000000, 0).UTC())
	m.KeepLocation("a.example", "team/app", sum("blob"))
}

func recallAll(m *Memory) bool {
	image, warnings, selected := m.Selected(sum("index"), "linux/amd64")
	children, indexed := m.Children(sum("index"))
	copied, at, wasCopied := m.Copied("from:1", "to:1")
	seen, asked := m.Ability("a.example", "referrers")
	created, dated := m.Created(sum("index"))
	return selected && image.Digest == sum("rewritten") && slices.EqualFunc(warnings, lacksARM, warning.Warning.Equal) &&
		indexed && slices.Equal(children, []digest.Digest{sum("a"), sum("b")}) &&
		wasCopied && copied == sum("index") && !at.IsZero() &&
		asked && seen == "no" && dated && created.Unix() == 1700000000
}

func TestMemoryOutlivesTheRun(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) {
		if recallAll(m) {
			t.Error("a new memory remembers")
		}
		keepAll(m)
		if !recallAll(m) {
			t.Error("what was kept is not known at once")
		}
	})
	session(t, path, func(m *Memory) {
		if !recallAll(m) {
			t.Error("the next run does not know it")
		}
		if got := m.Locations("a.example", sum("blob")); !slices.Equal(got, []string{"team/app"}) {
			t.Errorf("the blob is in %q", got)
		}
		for _, unknown := range [][2]string{{"b.example", "blob"}, {"a.example", "another"}} {
			if got := m.Locations(unknown[0], sum(unknown[1])); len(got) != 0 {
				t.Errorf("%s is in %q", unknown, got)
			}
		}
		if _, _, known := m.Selected(sum("index"), "linux/arm64"); known {
			t.Error("another selection is known")
		}
		if _, _, known := m.Copied("from", "1to:1"); known {
			t.Error("the parts of a key run together")
		}
		m.KeepAbility("a.example", "referrers", "yes")
	})
	session(t, path, func(m *Memory) {
		if seen, known := m.Ability("a.example", "referrers"); seen != "yes" || !known {
			t.Error("the later word does not hold")
		}
	})
}

func TestMemoryThatIsOff(t *testing.T) {
	closed := Open(newPath(t), Options{})
	keepAll(closed)
	closed.Close()
	closed.Close()
	for name, m := range map[string]*Memory{"zero": {}, "closed": closed} {
		keepAll(m)
		m.KeepSent("a.example", "team/app", sum("blob"))
		if recallAll(m) || len(m.Locations("a.example", sum("blob"))) != 0 {
			t.Errorf("%s: it remembers", name)
		}
		m.Close()
	}
}

// A blob that had to be sent was not where earlier runs had seen it; what this run has seen
// stays.
func TestLocations(t *testing.T) {
	path := newPath(t)
	blob := sum("blob")
	for run := range 10 {
		session(t, path, func(m *Memory) { m.KeepLocation("a.example", fmt.Sprintf("r%d", run), blob) })
	}
	session(t, path, func(m *Memory) {
		want := []string{"r9", "r8", "r7", "r6", "r5", "r4", "r3", "r2"}
		if got := m.Locations("a.example", blob); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		m.KeepLocation("a.example", "r4", blob)
	})
	session(t, path, func(m *Memory) {
		if got := m.Locations("a.example", blob)[0]; got != "r4" {
			t.Errorf("the last seen is %s, want r4", got)
		}
		m.KeepSent("a.example", "sent", blob)
		m.KeepLocation("a.example", "mounted", blob)
		m.KeepLocation("a.example", "sent", blob)
	})
	session(t, path, func(m *Memory) {
		if got := m.Locations("a.example", blob); !slices.Equal(got, []string{"mounted", "sent"}) {
			t.Errorf("after it was sent: %q", got)
		}
	})
}

// A night in 1970, when the clock's battery was empty, and one in 2100 change nothing.
func TestClockThatJumps(t *testing.T) {
	path := newPath(t)
	var told warnings
	for i, year := range []int{2026, 1970, 2100, 2026} {
		now := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		m := Open(path, Options{Warn: told.add, Now: func() time.Time { return now }})
		for before := range i {
			if _, _, known := m.Copied("from", fmt.Sprint(before)); !known {
				t.Errorf("in %d: run %d is forgotten", year, before)
			}
			want := fmt.Sprintf("r%d", i-1)
			if got := m.Locations("a.example", sum("blob")); len(got) != i || got[0] != want {
				t.Errorf("in %d: the blob is in %q, want %s first", year, got, want)
			}
		}
		m.KeepCopied("from", fmt.Sprint(i), sum("image"))
		m.KeepLocation("a.example", fmt.Sprintf("r%d", i), sum("blob"))
		m.Close()
	}
	told.want(t)
}

// Runs that cron begins in the same minute open a database that is not there yet together.
// One of them once took the tables that another had just made for somebody else's.
func TestTwoAtATime(t *testing.T) {
	path := newPath(t)
	var told warnings
	synctest.Test(t, func(*testing.T) { // a busy machine takes none of the second that they have
		var users sync.WaitGroup
		for user := range 4 {
			users.Go(func() {
				m := Open(path, Options{Warn: told.add})
				defer m.Close()
				for i := range 500 {
					m.KeepCreated(sum(fmt.Sprint(user, i)), time.Unix(int64(i), 0))
					m.Created(sum(fmt.Sprint(user, i/2)))
				}
			})
		}
		users.Wait()
	})
	told.want(t)
	session(t, path, func(m *Memory) {
		for user := range 4 {
			for i := range 500 {
				if at, known := m.Created(sum(fmt.Sprint(user, i))); !known || at.Unix() != int64(i) {
					t.Fatalf("user %d, %d: %v %v", user, i, at, known)
				}
			}
		}
	})
}
