package state

import (
	"fmt"
	"github.com/regsync/regsync/pkg/transfer/warning"
	"testing"
	"testing/synctest"
	"time"
)

// runs opens and closes a small memory n times.
func runs(t *testing.T, path string, n int, use func(run int, m *Memory)) {
	t.Helper()
	for run := range n {
		m := open(path, Options{Warn: func(text string) { t.Error(text) }}, limits{facts: 100, locations: 100, runs: 50})
		use(run, m)
		m.Close()
	}
}

func TestUnusedRowsGo(t *testing.T) {
	path := newPath(t)
	runs(t, path, 1, func(_ int, m *Memory) {
		m.KeepCreated(sum("used"), time.Unix(1, 0))
		m.KeepCreated(sum("unused"), time.Unix(2, 0))
		m.KeepAbility("a.example", "referrers", "yes")
		m.KeepLocation("a.example", "r", sum("blob"))
	})
	runs(t, path, 80, func(_ int, m *Memory) {
		if _, known := m.Created(sum("used")); !known {
			t.Fatal("a row that is used is gone")
		}
		m.KeepCreated(sum("another"), time.Unix(3, 0))
	})
	runs(t, path, 1, func(_ int, m *Memory) {
		if _, known := m.Created(sum("unused")); known {
			t.Error("a row that nobody uses is still there")
		}
		if got := m.Locations("a.example", sum("blob")); len(got) > 0 {
			t.Errorf("the blob is in %q", got)
		}
	})
}

func TestTablesAreBounded(t *testing.T) {
	path := newPath(t)
	runs(t, path, 2*pruneRuns, func(run int, m *Memory) {
		for i := range 20 {
			m.KeepCreated(sum(fmt.Sprint(run, i)), time.Unix(1, 0))
			m.KeepLocation("a.example", fmt.Sprint(run, "/", i), sum("blob"))
		}
		m.Created(sum("0 0"))
	})
	for table, most := range map[string]int{"fact": 100, "location": 100} {
		if rows := rowsIn(t, path, table); rows > most || rows < most/2 {
			t.Errorf("%s: %d rows, want at most %d", table, rows, most)
		}
	}
	runs(t, path, 1, func(_ int, m *Memory) {
		last := 2*pruneRuns - 1
		if _, known := m.Created(sum(fmt.Sprint(last, 5))); !known {
			t.Error("the newest is gone")
		}
		if _, known := m.Created(sum(fmt.Sprint(1, 5))); known {
			t.Error("the oldest is there")
		}
	})
}

// One run that writes more than there is room for does not wait for its end.
func TestTablesAreBoundedWithinARun(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		runs(t, path, 1, func(_ int, m *Memory) {
			for i := range pruneEvery + batch {
				m.writer.locate(location{"a.example", fmt.Sprint(i), sum("blob")}, false)
				if i%batch == 0 {
					synctest.Wait() // for the writer, which is the only one that may write
				}
			}
		})
	})
	if rows := rowsIn(t, path, "location"); rows > 100+2*batch {
		t.Errorf("%d rows", rows)
	}
}

func TestAbilitiesAreAskedForAgain(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) { m.KeepAbility("a.example", "referrers", "no") })
	for range abilityRuns {
		session(t, path, func(m *Memory) {
			if _, known := m.Ability("a.example", "referrers"); !known {
				t.Fatal("it is forgotten too early")
			}
		})
	}
	session(t, path, func(m *Memory) {
		if _, known := m.Ability("a.example", "referrers"); known {
			t.Error("it is believed for ever")
		}
	})
}

func TestBigFactsAreNotKept(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) {
		m.KeepSelected(sum("index"), "all", descriptor("x"), []warning.Warning{{Registry: fmt.Sprintf("%*d", maxValue, 1)}})
	})
	if rows := rowsIn(t, path, "fact"); rows != 0 {
		t.Errorf("%d rows", rows)
	}
}
