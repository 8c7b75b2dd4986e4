package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

func finished() *report.Report {
	r := (&app{}).newReport("sync", nil, false)
	r.Finish(time.Now(), nil, nil)
	return r
}

// A report that cannot be written keeps that of the run before, and says so: 3, where the
// run itself was fine.
func TestReportThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "last.json")
	files, err := checkReports([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // meanwhile
		t.Fatal(err)
	}
	err = files.write(finished(), false)
	if want := "write report " + path + ": file exists"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := exitCode(err); got != exitPartly {
		t.Errorf("exit code %d, want %d", got, exitPartly)
	}
	if got := exitCode(errors.Join(err, errorOf(&app{}, true, resultOf("web", "1", transfer.DestinationResult{Err: err}), resultOf("web", "2", transfer.DestinationResult{})))); got != exitPartly {
		t.Errorf("after a run with failures: exit code %d, want %d", got, exitPartly)
	}
	wantOnly(t, dir, "last.json")
}

// A disk that is full keeps what was there, and no temporary name stays.
func TestReplaceFileOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "last.json")
	if err := os.WriteFile(path, []byte("the old one"), 0o600); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(full, func(w io.Writer) error { return safe.WriteJSON(w, finished()) }); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %v", err, syscall.ENOSPC)
	}
	err = replaceFile(path, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half of the new")
		return syscall.ENOSPC
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %v", err, syscall.ENOSPC)
	}
	if got, err := os.ReadFile(path); string(got) != "the old one" {
		t.Errorf("the report is now %q, %v", got, err)
	}
	wantOnly(t, dir, "last.json")
}

// A report that only its owner may read stays so.
func TestReplaceFileKeepsTheMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.json")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(path, func(w io.Writer) error { return safe.WriteJSON(w, finished()) }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 || info.Size() == 0 {
		t.Errorf("got %v, %v", info, err)
	}
}

// wantOnly fails unless exactly that is in a directory.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("there is %q in %s, want %q", got, dir, names)
	}
}

// A run that is killed leaves nothing beside its reports. Once their temporary files were
// made before the run, and each that was killed left one.
func TestKilledRunLeavesNoTemporaryFile(t *testing.T) {
	from, to := silent(t), registrytest.New(t)
	dir := t.TempDir()
	p := startRegsync(t, "sync", "-c", configured(t, from, to), "--report", filepath.Join(dir, "out.json"))
	waitFor(t, from, "GET", "/blobs/")
	p.signal(t, syscall.SIGKILL)
	_ = p.Wait()
	wantOnly(t, dir)
}

// A reader of stdout that has seen enough, as head(1), ends the process at its next write:
// the files are written before. Once they were lost.
func TestReportFileWithoutAReader(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	dir := t.TempDir()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	p := command(t, "sync", "-c", configured(t, from, to), "--report", filepath.Join(dir, "out.json"))
	p.Stdout = writer
	p.start(t)
	if err := p.Wait(); err == nil {
		t.Error("the process could write")
	}
	wantOnly(t, dir, "out.json")
}

// A run that a signal ends writes its report, with what was under way as deferred.
func TestSignalLeavesAReportFile(t *testing.T) {
	from, to := silent(t), registrytest.New(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "mirror.yaml")
	text := "version: 1\nsync: [{name: app, from: " + from.Host() + "/app:1, to: " + to.Host() + "/app}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.json")
	p := startRegsync(t, "sync", "-c", config, "-q", "--report", out)
	waitFor(t, from, "GET", "/blobs/")
	p.signal(t, syscall.SIGINT)
	p.wantCode(t, 130)
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	undone, err := report.ReadUndone(file)
	if err != nil || len(undone.Failed) != 1 || undone.Failed[0].Source != from.Host()+"/app:1" {
		t.Errorf("got %+v, %v", undone, err)
	}
	wantOnly(t, dir, "mirror.yaml", "out.json")
}
