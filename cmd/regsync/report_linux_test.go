package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/transfer"
)

func finished() *ui.Report {
	r := ui.NewReport("1", time.Now(), ui.ReportOptions{})
	r.Finish(time.Now(), 0, &transfer.Counters{}, nil)
	return r
}

// A disk that is full when a report is written keeps the report of the run before, and says
// so: 1, where the run itself was fine.
func TestReportOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "last.json")
	if err := os.WriteFile(path, []byte("the old one"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := openReports([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	files[0].file.Close()
	files[0].file = full
	err = files.write(finished(), false)
	if want := "write report " + path + ": no space left on device"; !errors.Is(err, syscall.ENOSPC) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := exitCode(err); got != exitFailed {
		t.Errorf("exit code %d, want %d", got, exitFailed)
	}
	if got := exitCode(errors.Join(err, &failures{errs: []error{err}, fine: 1})); got != exitPartly {
		t.Errorf("after a run with failures: exit code %d, want %d", got, exitPartly)
	}
	if got, err := os.ReadFile(path); string(got) != "the old one" {
		t.Errorf("the report is now %q, %v", got, err)
	}
	wantOnly(t, dir, "last.json")
}

// wantOnly fails unless that is all there is in a directory: no temporary name stays.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if i >= len(names) || e.Name() != names[i] {
			t.Errorf("there is %s in %s, want %q", e.Name(), dir, names)
		}
	}
}

func TestReportThatIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	files, err := openReports([]string{filepath.Join(dir, "a.json"), filepath.Join(dir, "b.xml")})
	if err != nil {
		t.Fatal(err)
	}
	files.discard()
	wantOnly(t, dir)
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
	undone, err := ui.ReadUndone(file)
	if err != nil || len(undone.Failed) != 1 || undone.Failed[0].Source != from.Host()+"/app:1" {
		t.Errorf("got %+v, %v", undone, err)
	}
	wantOnly(t, dir, "mirror.yaml", "out.json")
}
