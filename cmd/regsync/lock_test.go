package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/gofrs/flock"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/registrytest/golden"
)

// configured writes a configuration that copies one image.
func configured(t *testing.T, from, to *registrytest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mirror.yaml")
	text := fmt.Sprintf("version: 1\nregistries:\n  %s: {maxConnections: 3}\nsync:\n  - {from: %q, to: %q}\n",
		from.Host(), from.Host()+"/app:1", to.Host()+"/app:1")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestLock: two runs of one configuration do not overlap, whatever its file is called; the
// second one leaves it at that, or waits, and a holder that is killed is none.
func TestLock(t *testing.T) {
	from, to := silent(t), registrytest.New(t)
	file, state := configured(t, from, to), t.TempDir()
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	sync := func(args ...string) *process {
		return startRegsync(t, append([]string{"sync", "--state", state}, args...)...)
	}
	first := sync("-c", file)
	waitFor(t, from, "GET", "/blobs/")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	tell := func(p *process) {
		pid := strconv.Itoa(first.Process.Pid)
		fmt.Fprintln(&said, p.told(link, "FILE", "PID "+pid, "PID PID", "kill "+pid, "kill PID", " on "+host, " on HOST"))
	}

	// A run that hangs once kept a mirror from running for weeks, without a word under -q.
	report := filepath.Join(t.TempDir(), "last.json")
	if err := os.WriteFile(report, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := sync("-c", link, "--skip-if-running", "-q", "--report", report)
	quiet.wantDone(t)
	tell(quiet)
	if raw, err := os.ReadFile(report); err != nil || string(raw) != "before" {
		t.Errorf("the report is %q, %v", raw, err)
	}

	skipped := sync("-c", link, "--skip-if-running")
	skipped.wantDone(t)
	tell(skipped)

	// Who wants a document gets one.
	document := command(t, "sync", "--state", state, "-c", link, "--skip-if-running", "-o", "json")
	var stdout strings.Builder
	document.Stdout = &stdout
	document.start(t)
	document.wantDone(t)
	for _, want := range []string{`"schema": "regsync.report/v2"`, `"command": "sync"`, `"exitCode": 0`, `"entries": 1`, `"requests": {}`, `"items": []`} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("stdout is %s\nwant in it %s", stdout.String(), want)
		}
	}

	impatient := sync("-c", link, "--lock-wait", "1ms")
	impatient.wantCode(t, 1)
	tell(impatient)

	atOnce := sync("-c", link, "--lock-wait", "0", "-q")
	atOnce.wantCode(t, 1)
	if got := atOnce.stderr.String(); strings.Count(got, "\n") != 2 {
		t.Errorf("stderr is\n%s", got)
	}

	// Plans need no lock, and another configuration has another one.
	sync("-c", link, "--dry-run").wantDone(t)
	done := registrytest.New(t)
	done.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	sync("-c", configured(t, done, to)).wantDone(t)

	locks, err := filepath.Glob(filepath.Join(state, "locks", "*.lock"))
	if err != nil || len(locks) != 2 {
		t.Fatalf("locks: %q, %v", locks, err)
	}
	for _, lock := range locks {
		if info, err := os.Stat(lock); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", lock, info.Mode(), err)
		}
	}

	waiting := sync("-c", link)
	waiting.waitForWords(t, "waiting up to 1h")
	waiting.signal(t, syscall.SIGTERM)
	waiting.wantCode(t, 143)
	tell(waiting)
	golden.Text(t, said.String())

	patient := sync("-c", link)
	patient.waitForWords(t, "waiting")
	from.Heal()
	first.signal(t, syscall.SIGKILL)
	_ = first.Wait()
	patient.wantDone(t)
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
}

// TestLockTellsWhoHasIt: who waits is told in the end who has the lock then, which may be a
// third run; and nobody is told of a run that has ended.
func TestLockTellsWhoHasIt(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	file, state := configured(t, from, to), t.TempDir()
	startRegsync(t, "sync", "-c", file, "--state", state).wantDone(t)
	locks, err := filepath.Glob(filepath.Join(state, "locks", "*.lock"))
	if err != nil || len(locks) != 1 {
		t.Fatalf("locks: %q, %v", locks, err)
	}
	if held, err := os.ReadFile(locks[0]); err != nil || len(held) > 0 {
		t.Errorf("after its run the lock is held by %s, %v", held, err)
	}

	lock := flock.New(locks[0])
	if got, err := lock.TryLock(); err != nil || !got {
		t.Fatal(got, err)
	}
	defer func() { _ = lock.Unlock() }()
	hold := func(pid int) {
		if err := os.WriteFile(locks[0], fmt.Appendf(nil, `{"pid": %d, "host": "here"}`, pid), 0o600); err != nil {
			t.Error(err)
		}
	}
	hold(1001)
	synctest.Test(t, func(t *testing.T) {
		waiting := &process{} // in this one, for its clock
		a := newApp(Environment{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &waiting.stderr, LookupEnv: os.LookupEnv, Ending: signals.New(nil)})
		code := make(chan int)
		go func() {
			code <- run(t.Context(), a, []string{"sync", "-c", file, "--state", state, "--lock-wait", "1s"})
		}()
		synctest.Wait()
		waiting.wantWords(t, "PID 1001", "waiting")
		hold(1002)
		if got := <-code; got != 1 {
			t.Errorf("exit code %d, want 1", got)
		}
		golden.Text(t, waiting.told(file, "FILE"))
	})
}

// TestLockWhateverTheState: the lock was below --state, and runs with different ones
// overlapped.
func TestLockWhateverTheState(t *testing.T) {
	from, to := silent(t), registrytest.New(t)
	file := configured(t, from, to)
	first := startRegsync(t, "sync", "-c", file, "--state", t.TempDir())
	waitFor(t, from, "GET", "/blobs/")
	sync := func(args ...string) *process {
		return startRegsync(t, append([]string{"sync", "-c", file, "--state", t.TempDir()}, args...)...)
	}
	late := sync("--lock-wait", "0")
	late.wantCode(t, 1)
	skipped := sync("--skip-if-running")
	skipped.wantDone(t)
	golden.Text(t, late.told(file, "FILE")+skipped.told(file, "FILE"))

	// Nor is it of use to leave the state out, or to add a file without entries.
	registries := filepath.Join(t.TempDir(), "registries.yaml")
	if err := os.WriteFile(registries, []byte("version: 1\nregistries:\n  r.example.com: {maxConnections: 3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	startRegsync(t, "sync", "-c", registries, "-c", file, "--lock-wait", "0").wantCode(t, 1)

	// A file without entries is shared by configurations that have nothing to do with each other.
	done := registrytest.New(t)
	done.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	holding := sync("-c", registries)
	holding.waitForWords(t, "waiting")
	startRegsync(t, "sync", "-c", registries, "-c", configured(t, done, to), "--lock-wait", "0").wantDone(t)

	from.Heal()
	first.signal(t, syscall.SIGKILL)
	_ = first.Wait()
	holding.wantDone(t)
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
}

// TestLockWithoutAState: where no lock can be made in the state's directory, the one on the
// configuration is enough, and nobody is warned.
func TestLockWithoutAState(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, "locks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startRegsync(t, "sync", "-c", configured(t, from, to), "--state", state)
	p.wantDone(t)
	if got := p.stderr.String(); strings.Contains(got, "warning") {
		t.Errorf("stderr is\n%s", got)
	}
	p = command(t, "sync", "-c", "-", "--state", state)
	p.Stdin = strings.NewReader("version: 1\nsync:\n  - {from: " + from.Host() + "/app:1, to: " + to.Host() + "/app:1}\n")
	p.start(t)
	p.wantDone(t)
	if got := p.told(); strings.Count(got, "warning") != 1 || !strings.Contains(got, "another run") {
		t.Errorf("stderr is\n%s", got)
	}
}

// A wait that cannot be meant is told before anything is done.
