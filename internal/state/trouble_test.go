package state

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
)

// raw runs statements on a database behind the memory's back.
func raw(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := connect(path, "mode=rwc", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// filled is a database that has one of everything.
func filled(t *testing.T) string {
	t.Helper()
	path := newPath(t)
	session(t, path, keepAll)
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func write(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func asides(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(path + ".corrupt-*Z")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNobodyElseReadsIt(t *testing.T) {
	path := filled(t)
	for file, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if info, err := os.Stat(file); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v and %v, want %v", file, info.Mode(), err, want)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside it there are %v, %v", entries, err)
	}
}

// A dry run reads what there is, and leaves nothing.
func TestReadOnly(t *testing.T) {
	path := filled(t)
	before := read(t, path)
	var told warnings
	m := Open(path, Options{ReadOnly: true, Warn: told.add})
	if !recallAll(m) {
		t.Error("it is not read")
	}
	m.KeepAbility("a.example", "referrers", "yes")
	m.Close()
	if !bytes.Equal(read(t, path), before) {
		t.Error("the database has changed")
	}
	missing := newPath(t)
	m = Open(missing, Options{ReadOnly: true, Warn: told.add})
	keepAll(m)
	m.Close()
	if _, err := os.Stat(filepath.Dir(missing)); !os.IsNotExist(err) {
		t.Errorf("the directory was made: %v", err)
	}
	told.want(t)
}

func TestWhatIsNoDatabaseOfOurs(t *testing.T) {
	dir := t.TempDir()
	newer, foreign := filepath.Join(dir, "newer"), filepath.Join(dir, "foreign")
	raw(t, newer, "CREATE TABLE other (a)", "PRAGMA user_version = 99")
	raw(t, foreign, "CREATE TABLE other (a)")
	var said strings.Builder
	for _, path := range []string{newer, foreign} {
		before := read(t, path)
		for _, readOnly := range []bool{true, false} {
			var told warnings
			m := Open(path, Options{ReadOnly: readOnly, Warn: told.add})
			keepAll(m)
			m.Close()
			told.want(t, path)
			fmt.Fprintln(&said, strings.ReplaceAll(told.all()[0], path, filepath.Base(path)))
		}
		if !bytes.Equal(read(t, path), before) || len(asides(t, path)) > 0 {
			t.Errorf("%s was touched", path)
		}
	}
	golden.Text(t, said.String())
}

func TestPlacesThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, nil)
	for path, words := range map[string]string{
		dir:                              "not a file",
		filepath.Join(file, "state.db"):  "not a directory",
		"/proc/self/regsync/state.db":    "regsync",
		filepath.Join(dir, "nul\x00.db"): "invalid argument",
	} {
		session(t, path, func(m *Memory) {
			keepAll(m)
			if recallAll(m) {
				t.Errorf("%s remembers", path)
			}
		}, path, words, "not used")
	}
}

func TestDamagedIsSetAside(t *testing.T) {
	path := filled(t)
	whole := read(t, path)
	noise := bytes.Clone(whole)
	for i := 4096; i < len(noise); i++ {
		noise[i] = byte(rand.IntN(256))
	}
	for name, damaged := range map[string][]byte{
		"no database":   []byte("the quick brown fox"),
		"noise":         noise,
		"half a page":   whole[:2048],
		"one page":      whole[:4096],
		"zeroes":        make([]byte, len(whole)),
		"a long header": append([]byte("SQLite format 3\x00"), bytes.Repeat([]byte{0xff}, 9000)...),
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			session(t, path, func(*Memory) {})
			write(t, path, damaged)
			session(t, path, func(m *Memory) {
				if recallAll(m) {
					t.Error("it remembers")
				}
				keepAll(m)
			}, path, "damaged", "state.db.corrupt-")
			found := asides(t, path)
			if len(found) != 1 || !bytes.Equal(read(t, found[0]), damaged) {
				t.Fatalf("set aside is %q", found)
			}
			session(t, path, func(*Memory) {})
		})
	}
}

// A table that is not as we made it counts as damage, and any byte may be wrong: nothing
// panics, and what comes after works.
func TestDamageAnywhere(t *testing.T) {
	tables := filled(t)
	raw(t, tables, "DROP TABLE location")
	session(t, tables, func(*Memory) {}, "was damaged")

	whole := read(t, filled(t))
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		path := filepath.Join(t.TempDir(), "state.db")
		damaged := bytes.Clone(whole)
		for range 1 + random.IntN(20) {
			damaged[random.IntN(len(damaged))] = byte(random.IntN(256))
		}
		write(t, path, damaged[:len(damaged)-random.IntN(2)*random.IntN(len(damaged))])
		for range 3 {
			m := Open(path, Options{})
			recallAll(m)
			m.Locations("a.example", sum("blob"))
			keepAll(m)
			m.Close()
		}
	}
}

// Damage that is only met on the way ends the memory of this run; the next one begins anew.
func TestDamageMetOnTheWay(t *testing.T) {
	path := newPath(t)
	session(t, path, func(m *Memory) {
		for i := range 2000 {
			m.KeepCreated(sum(fmt.Sprint(i)), time.Unix(int64(i), 0))
		}
	})
	damaged := read(t, path)
	for i := 5 * 4096; i < len(damaged); i++ {
		damaged[i] = 0x55
	}
	write(t, path, damaged)
	var told warnings
	m := Open(path, Options{Warn: told.add})
	for i := range 2000 {
		m.Created(sum(fmt.Sprint(i)))
	}
	m.Close()
	if told := told.all(); len(told) != 2 || len(asides(t, path)) != 1 {
		t.Fatalf("told %q, set aside %q", told, asides(t, path))
	}
	session(t, path, keepAll)
	session(t, path, func(m *Memory) {
		if !recallAll(m) {
			t.Error("the new one does not work")
		}
	})
}

// A journal that stayed behind would be played into the next database.
func TestTheFilesOfADatabaseGoTogether(t *testing.T) {
	path := newPath(t)
	session(t, path, func(*Memory) {})
	for _, suffix := range sidecars() {
		write(t, path+suffix, []byte(suffix))
	}
	if err := rename(path, path+".aside"); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range sidecars() {
		if _, err := os.Stat(path + suffix); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path+suffix, err)
		}
		if got := string(read(t, path+".aside"+suffix)); got != suffix {
			t.Errorf("%s holds %q", path+".aside"+suffix, got)
		}
	}
}

// Of two processes that meet a damaged database one sets it aside, the other takes the new
// one.
func TestSetAsideByTwo(t *testing.T) {
	path := filled(t)
	write(t, path, []byte("damaged"))
	var told warnings
	synctest.Test(t, func(*testing.T) { // a busy machine takes none of the second that they have
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				m := Open(path, Options{Warn: told.add})
				keepAll(m)
				m.Close()
			})
		}
		users.Wait()
	})
	told.want(t, "was damaged")
	if got := asides(t, path); len(got) != 1 {
		t.Errorf("set aside: %q", got)
	}
	session(t, path, func(m *Memory) {
		if !recallAll(m) {
			t.Error("the new one does not work")
		}
	})
}

// A damaged database keeps its name while another process has it open: that process would find the journal of the new one by
// that name, and play it into the old one. Of 9,000 runs of TestSetAsideByTwo, 7 met a broken new database.
func TestDatabaseInUseIsNotSetAside(t *testing.T) {
	path := filled(t)
	user := Open(path, Options{})
	write(t, path, []byte("damaged"))
	var told warnings
	synctest.Test(t, func(*testing.T) { // it waits for a second
		m := Open(path, Options{Warn: told.add})
		m.Close()
	})
	told.want(t, "is not used")
	if got := asides(t, path); len(got) > 0 {
		t.Errorf("set aside: %q", got)
	}
	user.Close()
	session(t, path, keepAll)
	if got := asides(t, path); len(got) != 1 {
		t.Errorf("set aside after that: %q", got)
	}
}

func TestFewDamagedOnesAreKept(t *testing.T) {
	path := newPath(t)
	for i := range maxAside + 2 {
		session(t, path, func(*Memory) {})
		write(t, path, []byte("damaged"))
		m := Open(path, Options{Now: func() time.Time { return time.Unix(int64(i), 0) }})
		m.Close()
	}
	if got := asides(t, path); len(got) != maxAside {
		t.Errorf("%q are kept", got)
	}
}

// lock holds a database as another process in the middle of its work does.
func lock(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := connect(path, "mode=rw", 1)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		conn.Close()
		db.Close()
	}
}

func TestLockedFromTheStart(t *testing.T) {
	path := filled(t)
	release := lock(t, path)
	began := time.Now()
	golden.Text(t, session(t, path, func(m *Memory) {
		keepAll(m)
		recallAll(m)
	}, "locked"))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the copy waited for %v", took)
	}
	release()
	session(t, path, func(m *Memory) {
		if !recallAll(m) {
			t.Error("it is forgotten")
		}
	})
}

// Another process stops with the lock in its hand: the memory ends, the copy goes on.
func TestLockedOnTheWay(t *testing.T) {
	path := filled(t)
	var told warnings
	m := Open(path, Options{Warn: told.add})
	release := lock(t, path)
	began := time.Now()
	for range 1000 {
		recallAll(m)
	}
	told.want(t, "locked")
	golden.Text(t, strings.ReplaceAll(told.all()[0], path, "STATE"))
	m.KeepAbility("a.example", "other", "yes")
	m.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the copy waited for %v", took)
	}
	if told := told.all(); len(told) != 2 {
		t.Errorf("told %q", told)
	}
	release()
}

// What a locked database does not take is written when the lock is free again.
func TestLockedForAWhile(t *testing.T) {
	path := filled(t)
	var told warnings
	synctest.Test(t, func(t *testing.T) { // the writer waits for its pace, and does not flush beside the test
		m := Open(path, Options{Warn: told.add})
		release := lock(t, path)
		m.KeepAbility("a.example", "other", "yes")
		if busy := m.writer.flush(); !busy {
			t.Error("it was written")
		}
		if seen, known := m.Ability("a.example", "other"); seen != "yes" || !known {
			t.Error("it is forgotten meanwhile")
		}
		release()
		m.Close()
	})
	told.want(t)
	session(t, path, func(m *Memory) {
		if seen, known := m.Ability("a.example", "other"); seen != "yes" || !known {
			t.Error("it was not written")
		}
	})
}

// A full disk, a read-only one and one that fails are told once, and reading goes on.
func TestWritesThatFail(t *testing.T) {
	for name, pragma := range map[string]string{
		"full":      "PRAGMA max_page_count = 1",
		"read-only": "PRAGMA query_only = 1",
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			golden.Text(t, session(t, path, func(m *Memory) {
				if _, err := m.writer.db.ExecContext(t.Context(), pragma); err != nil {
					t.Fatal(err)
				}
				for i := range 3 * batch {
					m.KeepLocation("a.example", fmt.Sprint(i), sum("blob"))
				}
				if !recallAll(m) {
					t.Error("it is no longer read")
				}
			}, path))
			session(t, path, func(m *Memory) {
				if !recallAll(m) {
					t.Error("what was there is lost")
				}
			})
		})
	}
}

// Nobody waits for whoever is told that the disk is full: stderr may be a pipe that is full,
// too. Here it asks back, which once never ended.
func TestWarningsHoldNobodyUp(t *testing.T) {
	path := filled(t)
	var m *Memory
	told := make(chan struct{})
	m = Open(path, Options{Warn: func(string) {
		m.KeepAbility("a.example", "probes", "yes")
		close(told)
	}})
	defer m.Close()
	if _, err := m.writer.db.ExecContext(t.Context(), "PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	m.KeepAbility("a.example", "probes", "yes")
	<-told
}

// The file may be written, its directory not: SQLite can make no journal.
func TestJournalThatCannotBeMade(t *testing.T) {
	path := filled(t)
	if err := os.Mkdir(path+"-journal", 0o700); err != nil {
		t.Fatal(err)
	}
	session(t, path, func(m *Memory) { keepAll(m) }, path)
}

func TestMigration(t *testing.T) {
	path := filled(t)
	db, err := connect(path, "mode=rw&_txlock=immediate", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	steps := append(migrations(), "ALTER TABLE fact ADD COLUMN extra TEXT NOT NULL DEFAULT 'x'")
	for range 2 {
		if err := migrate(t.Context(), db, steps); err != nil {
			t.Fatal(err)
		}
	}
	var rows int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM fact WHERE extra = 'x'").Scan(&rows); err != nil || rows != 5 {
		t.Errorf("%d rows, %v", rows, err)
	}
	if err := migrate(t.Context(), db, append(steps, "ALTER TABLE fact ADD COLUMN more TEXT", "no SQL")); err == nil {
		t.Error("a step that fails is passed over")
	}
	if had, err := version(t.Context(), db, 4); had != 2 || err != nil {
		t.Errorf("after a step that failed: version %d, %v", had, err)
	}
	session(t, path, func(*Memory) {}, "newer", "version 2")
}

func rowsIn(t *testing.T, path, table string) (rows int) {
	t.Helper()
	db, err := connect(path, "mode=ro", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(context.Background(), "SELECT count(*) FROM "+table).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}
