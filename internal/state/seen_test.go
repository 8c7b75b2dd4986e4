package state

import (
	"fmt"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
)

// wantSeen requires that a tag was seen so many rounds ago, or, without an image, that it is unknown.
func wantSeen(t *testing.T, m *Memory, repository, tag string, image digest.Digest, ago int64) {
	t.Helper()
	got, as, at, now := m.Seen(repository, tag)
	switch {
	case got != image:
		t.Errorf("%s:%s: saw %q, want %q", repository, tag, got, image)
	case image != "" && (as != "as" || now-at != ago):
		t.Errorf("%s:%s: seen as %q, %d rounds ago, want %d", repository, tag, as, now-at, ago)
	}
}

// A round is a run that asks for tags of the repository, not any run.
func TestSeenCountsRoundsOfARepository(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) {
		wantSeen(t, m, "a/app", "1", "", 0)
		m.KeepSeen("a/app", "1", sum("one"), "as")
		m.KeepSeen("a/app", "2", sum("two"), "as")
		wantSeen(t, m, "a/app", "1", "", 0) // seen in this run, not in an earlier one
	})
	for range 3 {
		session(t, path, func(m *Memory) { wantSeen(t, m, "a/other", "1", "", 0) })
	}
	session(t, path, func(m *Memory) {
		wantSeen(t, m, "a/app", "1", sum("one"), 1)
		m.KeepSeen("a/app", "2", sum("three"), "as")
		wantSeen(t, m, "a/app", "3", "", 0)
	})
	session(t, path, func(m *Memory) {
		wantSeen(t, m, "a/app", "1", sum("one"), 2)
		wantSeen(t, m, "a/app", "2", sum("three"), 1)
	})
}

func TestSeenIsForgotten(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) {
		for _, repository := range []string{"a/app", "b/app"} {
			for _, tag := range []string{"1", "2"} {
				m.KeepSeen(repository, tag, sum(tag), "as")
			}
		}
	})
	session(t, path, func(m *Memory) {
		m.ForgetSeen("a/app", "1")
		wantSeen(t, m, "a/app", "1", "", 0)
		wantSeen(t, m, "a/app", "2", sum("2"), 1)
	})
	session(t, path, func(m *Memory) {
		wantSeen(t, m, "a/app", "1", "", 0)
		wantSeen(t, m, "a/app", "2", sum("2"), 2)
		m.ForgetSeen("a/app", "")
		wantSeen(t, m, "a/app", "2", "", 0)
		wantSeen(t, m, "b/app", "1", sum("1"), 1)
		m.KeepSeen("a/app", "1", sum("new"), "as")
	})
	session(t, path, func(m *Memory) {
		wantSeen(t, m, "a/app", "1", sum("new"), 1)
		wantSeen(t, m, "a/app", "2", "", 0)
	})
}

// A repository that no run has asked for in a hundred runs is asked for anew.
func TestSeenAges(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) { m.KeepSeen("a/app", "1", sum("1"), "as") })
	for range abilityRuns {
		session(t, path, func(*Memory) {})
	}
	session(t, path, func(m *Memory) { wantSeen(t, m, "a/app", "1", "", 0) })
}

// What cannot be forgotten is not trusted: nothing is known to a run that cannot write.
func TestSeenNeedsAStateThatIsWritten(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) { m.KeepSeen("a/app", "1", sum("1"), "as") })
	m := Open(path, Options{ReadOnly: true})
	wantSeen(t, m, "a/app", "1", "", 0)
	m.Close()
	wantSeen(t, m, "a/app", "1", "", 0)
	session(t, path, func(m *Memory) {
		m.writer.off()
		wantSeen(t, m, "a/app", "1", "", 0)
	})
	release := lock(t, path)
	session(t, path, func(m *Memory) { wantSeen(t, m, "a/app", "1", "", 0) }, "not used", "locked")
	release()
	wantSeen(t, &Memory{}, "a/app", "1", "", 0)
}

// The tags that were seen are bounded as all facts are.
func TestSeenIsBounded(t *testing.T) {
	path := newPath(t)
	m := open(path, Options{}, limits{facts: 10, locations: 10, runs: 1000})
	for i := range 50 {
		m.KeepSeen("a/app", fmt.Sprint(i), sum("1"), "as")
	}
	m.Close()
	for range pruneRuns { // in one of them the tables are looked at
		m := open(path, Options{}, limits{facts: 10, locations: 10, runs: 1000})
		m.KeepSeen("a/app", "x", sum("1"), "as")
		m.Close()
	}
	m = open(path, Options{}, remembered)
	defer m.Close()
	known := 0
	for i := range 50 {
		if image, _, _, _ := m.Seen("a/app", fmt.Sprint(i)); image != "" {
			known++
		}
	}
	if known > 10 {
		t.Errorf("%d tags are remembered, want at most 10", known)
	}
}

// A run that is killed while it writes tags may have changed some without forgetting them: no entry counts any more.
func TestSeenAfterAKilledRun(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) {
		m.KeepSeen("a/app", "1", sum("1"), "as")
		m.KeepSeen("b/app", "1", sum("1"), "as")
	})
	session(t, path, func(m *Memory) { m.ForgetSeen("a/app", "2") })
	session(t, path, func(m *Memory) { wantSeen(t, m, "a/app", "1", sum("1"), 1) })
	killed := Open(path, Options{})
	killed.ForgetSeen("a/app", "2") // the last that reaches the disk
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	killed.Close()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	session(t, path, func(m *Memory) { wantSeen(t, m, "a/app", "1", "", 0) })
	session(t, path, func(m *Memory) {
		wantSeen(t, m, "b/app", "1", "", 0)
		m.KeepSeen("b/app", "1", sum("1"), "as")
	})
	session(t, path, func(m *Memory) { wantSeen(t, m, "b/app", "1", sum("1"), 1) })
}
