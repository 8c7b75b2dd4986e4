package layout_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// The test binary run with this variable is one of several processes that write to a
// layout.
const childVariable = "REGSYNC_TEST_LAYOUT_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childVariable); role != "" {
		if err := child(role, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(role, path, name string) error {
	l, err := layout.OpenOrCreate(path)
	if err != nil {
		return err
	}
	if role == "tag" {
		return pushTags(l, name)
	}
	return writeForEver(l)
}

const tagsEach = 12

// pushTags writes its own images, over a layer that all processes share.
func pushTags(l *layout.Layout, name string) error {
	ctx := context.Background()
	shared := contenttest.NewLayer("shared by all processes", 100_000)
	for i := range tagsEach {
		own := contenttest.NewLayer(fmt.Sprint(name, i), 2000)
		image := contenttest.NewImage("linux/amd64", shared, own)
		for _, blob := range image.Blobs {
			u, err := l.StartUpload(ctx, blob.Descriptor)
			if err != nil {
				return err
			}
			if err := u.Commit(ctx, blob.Stream()); err != nil {
				return err
			}
		}
		for _, tag := range []string{fmt.Sprint(name, "-", i), "contended"} {
			if _, err := l.PushManifest(ctx, image.Descriptor(), image.Root.Bytes, tag); err != nil {
				return err
			}
		}
	}
	return nil
}

var halfBlob = contenttest.NewLayer("killed", 1<<20)

// writeForEver says the name of its upload when half of it is written, and stays there.
func writeForEver(l *layout.Layout) error {
	ctx := context.Background()
	u, err := l.StartUpload(ctx, halfBlob.Descriptor)
	if err != nil {
		return err
	}
	half := strings.NewReader(string(halfBlob.Bytes[:len(halfBlob.Bytes)/2]))
	source := io.MultiReader(half, tellAndBlock{u.(content.ResumableUpload)})
	return u.Commit(ctx, content.NewStream(source, halfBlob.Descriptor))
}

type tellAndBlock struct{ upload content.ResumableUpload }

func (r tellAndBlock) Read([]byte) (int, error) {
	fmt.Println(r.upload.Session())
	select {}
}

func start(t *testing.T, role, path, name string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, path, name)
	cmd.Env = append(os.Environ(), childVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestProcessesLoseNoTag(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "by", "whoever", "is", "first")
	var children sync.WaitGroup
	want := []string{"contended"}
	names := []string{"a", "b", "c", "d"}
	errs := make([]error, len(names))
	for n, name := range names {
		cmd := start(t, "tag", path, name)
		children.Go(func() { errs[n] = cmd.Run() })
		for i := range tagsEach {
			want = append(want, fmt.Sprint(name, "-", i))
		}
	}
	children.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	got := tags(t, l)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d tags %q, want %d %q", len(got), got, len(want), want)
	}
	for _, tag := range got {
		d, err := l.Resolve(t.Context(), tag)
		if err != nil {
			t.Errorf("resolve %s: %v", tag, err)
			continue
		}
		m, err := content.FetchAndParse(t.Context(), l, d)
		if err != nil {
			t.Errorf("tag %s: %v", tag, err)
			continue
		}
		for _, blob := range m.Blobs() {
			if there, err := l.HasBlob(t.Context(), blob); !there || err != nil {
				t.Errorf("tag %s: blob %s: got %v and %v", tag, blob.Digest, there, err)
			}
		}
	}
}

func TestKillInMidWrite(t *testing.T) {
	path := t.TempDir()
	l := open(t, path)
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("before", 10))
	image.Push(t, l, "v1")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := start(t, "write", path, "")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	session, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	session = strings.TrimSpace(session)
	partial := filepath.Join(path, ".regsync", "uploads", session)
	requireHas(t, l, halfBlob, false)

	// The writer lives: its file is its own, and its blobs are not garbage.
	if _, err := l.ResumeUpload(t.Context(), halfBlob.Descriptor, session); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("resume the upload of a living process: got %v, want not found", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.GC(t.Context()); !errors.Is(err, layout.ErrInUse) {
		t.Errorf("collect garbage beside a writer: got %v, want in use", err)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(partial, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if _, err := os.Stat(partial); err != nil {
		t.Errorf("the file of a living writer: %v", err)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	requireHas(t, l, halfBlob, false)
	image.Check(t, l)

	// A younger partial file waits for somebody to go on with it.
	now := time.Now()
	if err := os.Chtimes(partial, now, now); err != nil {
		t.Fatal(err)
	}
	resumed, err := open(t, path).ResumeUpload(t.Context(), halfBlob.Descriptor, session)
	if err != nil {
		t.Fatalf("resume the upload of a dead process: %v", err)
	}
	offset, err := resumed.Offset(t.Context())
	if err != nil || offset != halfBlob.Descriptor.Size/2 {
		t.Errorf("offset: got %d and %v, want %d", offset, err, halfBlob.Descriptor.Size/2)
	}
	if err := resumed.CommitFrom(t.Context(), offset, halfBlob.StreamFrom(t, offset)); err != nil {
		t.Errorf("go on: %v", err)
	}
	halfBlob.Check(t, l)
}

// abandon leaves a partial file of 100 bytes as a process does that is killed.
func abandon(t *testing.T, path string, blob contenttest.Blob) (file string) {
	t.Helper()
	l := open(t, path)
	u, err := l.StartUpload(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	short := strings.NewReader(string(blob.Bytes[:100]))
	if err := u.Commit(t.Context(), content.NewStream(short, blob.Descriptor)); !errors.Is(err, content.ErrMismatch) {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(path, ".regsync", "uploads", u.(content.ResumableUpload).Session())
}

// A power cut leaves names and sizes of which the bytes were never written.
func TestResumeAfterAPowerCut(t *testing.T) {
	path := t.TempDir()
	blob := contenttest.NewLayer("abandoned", 1000+content.HeldBack)
	partial := abandon(t, path, blob)
	write(t, partial, strings.Repeat("\x00", 100))
	l := open(t, path)
	resumed, err := l.ResumeUpload(t.Context(), blob.Descriptor, filepath.Base(partial))
	if err != nil {
		t.Fatal(err)
	}
	err = resumed.CommitFrom(t.Context(), 100, blob.StreamFrom(t, 100))
	if _, blamed := errors.AsType[*content.MismatchError](err); !errors.Is(err, content.ErrMismatch) || blamed {
		t.Errorf("got %v, want a mismatch that is not the source's", err)
	}
	requireHas(t, l, blob, false)
	if _, err := os.Stat(partial); !errors.Is(err, os.ErrNotExist) {
		t.Error("the wrong bytes are still there")
	}
}

func TestAbandonedFilesAreRemoved(t *testing.T) {
	path := t.TempDir()
	blob := contenttest.NewLayer("abandoned", 1000+content.HeldBack)
	gone := func(when, file string) {
		t.Helper()
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %s is still there", when, filepath.Base(file))
		}
	}
	old := abandon(t, path, blob)
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	halfIndex := filepath.Join(path, ".regsync", "index.json.new")
	write(t, halfIndex, "{")
	l := open(t, path)
	gone("opened a day later", old)
	gone("opened", halfIndex)

	first := abandon(t, path, blob)
	second := abandon(t, path, blob)
	gone("the same blob started again", first)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.GC(t.Context()); freed != 100 || err != nil {
		t.Errorf("collect garbage: got %d and %v, want 100 bytes", freed, err)
	}
	gone("after garbage collection", second)
}

func TestSessionIsNoPath(t *testing.T) {
	l := open(t, t.TempDir())
	blob := contenttest.NewLayer("session", 10)
	prefix := "sha256-" + blob.Descriptor.Digest.Encoded() + "."
	for _, session := range []string{"", "..", "../index.lock", prefix, prefix + "../../../index.json", prefix + "A/B", "sha256-00.AAAA"} {
		if _, err := l.ResumeUpload(t.Context(), blob.Descriptor, session); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("session %q: got %v, want not found", session, err)
		}
	}
}
