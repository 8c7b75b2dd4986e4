package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func random(size int) []byte {
	raw := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(raw)
	return raw
}

// pools are one whose spools stay in memory and one whose spools are files.
func pools(t *testing.T) map[string]*Pool {
	return map[string]*Pool{
		"memory": NewPool(t.TempDir(), 1<<20, 1<<20),
		"file":   NewPool(t.TempDir(), 1<<20, 0),
	}
}

func reserve(t *testing.T, p *Pool, size int64) *Spool {
	t.Helper()
	s, err := p.Reserve(size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadersFollowAtTheirOwnPace(t *testing.T) {
	for name, pool := range pools(t) {
		t.Run(name, func(t *testing.T) {
			want := random(300_000)
			s := reserve(t, pool, int64(len(want)))
			var readers sync.WaitGroup
			for i := range 5 {
				readers.Go(func() {
					var got bytes.Buffer
					buffer := make([]byte, 1000*(i+1))
					if _, err := io.CopyBuffer(&got, struct{ io.Reader }{s.NewReader(t.Context(), 0)}, buffer); err != nil {
						t.Error(err)
					}
					if !bytes.Equal(got.Bytes(), want) {
						t.Errorf("reader %d got %d other bytes", i, got.Len())
					}
				})
			}
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 7777)
				if _, err := s.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			s.CloseWrite(nil)
			readers.Wait()
			late, err := io.ReadAll(s.NewReader(t.Context(), 0))
			if err != nil || !bytes.Equal(late, want) {
				t.Errorf("a late reader got %d bytes, %v", len(late), err)
			}
			s.Release()
			s.Release()
			if pool.used != 0 {
				t.Errorf("%d bytes are still taken", pool.used)
			}
		})
	}
}

func TestReaderGetsTheWritersError(t *testing.T) {
	for name, pool := range pools(t) {
		t.Run(name, func(t *testing.T) {
			s := reserve(t, pool, 10)
			defer s.Release()
			broken := errors.New("broken")
			_, _ = s.Write([]byte("abc"))
			s.CloseWrite(broken)
			got, err := io.ReadAll(s.NewReader(t.Context(), 0))
			if string(got) != "abc" || !errors.Is(err, broken) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := reserve(t, NewPool("", 10, 10), 10)
		defer s.Release()
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if _, err := s.NewReader(ctx, 0).Read(make([]byte, 1)); !errors.Is(err, gone) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestSpaceIsGivenBack(t *testing.T) {
	pool := NewPool("", 10, 10)
	first := reserve(t, pool, 8)
	if _, err := pool.Reserve(3); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want an ErrNoSpace", err)
	}
	reserve(t, pool, 2).Release()
	first.Release()
	reserve(t, pool, 10).Release()
}

// Small files take more of the space than their bytes, so that a pool has at most 256.
func TestFilesAreBounded(t *testing.T) {
	pool := NewPool(t.TempDir(), 1<<20, 10)
	var spools []*Spool
	for {
		s, err := pool.Reserve(11)
		if errors.Is(err, ErrNoSpace) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		spools = append(spools, s)
	}
	if len(spools) != 256 {
		t.Errorf("there were %d files, want 256", len(spools))
	}
	for _, s := range spools {
		s.Release()
	}
	reserve(t, pool, 1<<20).Release()
}

func TestTooLarge(t *testing.T) {
	pool := NewPool("", 10, 10)
	if _, err := pool.Reserve(11); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want an ErrNoSpace", err)
	}
	s := reserve(t, pool, 3)
	defer s.Release()
	if _, err := s.Write([]byte("abcd")); err == nil {
		t.Error("more was written than was reserved")
	}
}

func TestFilesHaveNoName(t *testing.T) {
	dir := t.TempDir()
	s := reserve(t, NewPool(dir, 100, 0), 10)
	defer s.Release()
	if _, err := s.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) > 0 {
		t.Errorf("a killed process would leave %v (%v)", names, err)
	}
}

// A temporary file of a process without a state lies in a directory of its own, and nothing of it stays.
func TestTemporaryDirectoryIsPrivate(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	file, err := NewFile("")
	if err != nil {
		t.Fatal(err)
	}
	if private := filepath.Dir(file.Name()); filepath.Dir(private) != dir {
		t.Errorf("it lies in %s", private)
	}
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestDirectoryThatIsNotThere(t *testing.T) {
	pool := NewPool(filepath.Join(t.TempDir(), "none"), 100, 0)
	if _, err := pool.Reserve(10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the directory is missing", err)
	}
	if pool.used != 0 {
		t.Errorf("%d bytes are still taken", pool.used)
	}
}

// A reader that is late must not take the release for the end of the content.
func TestReadAfterReleaseIsNoCleanEnd(t *testing.T) {
	for name, pool := range pools(t) {
		t.Run(name, func(t *testing.T) {
			s := reserve(t, pool, 3)
			_, _ = s.Write([]byte("abc"))
			s.CloseWrite(nil)
			late := s.NewReader(t.Context(), 0)
			s.Release()
			if got, err := io.ReadAll(late); len(got) > 0 || !errors.Is(err, os.ErrClosed) {
				t.Errorf("got %q, %v, want os.ErrClosed", got, err)
			}
		})
	}
}

func TestCancelledReaderStopsEvenWhereBytesAreThere(t *testing.T) {
	s := reserve(t, NewPool("", 10, 10), 3)
	defer s.Release()
	_, _ = s.Write([]byte("abc"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.NewReader(ctx, 0).Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want to be cancelled", err)
	}
}
