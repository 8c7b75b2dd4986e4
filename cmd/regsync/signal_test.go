package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/registrytest/golden"
)

// patience is the limit for events that come at once, except on a busy machine.
const patience = 2 * time.Minute

// process is a running regsync.
type process struct {
	*exec.Cmd
	stderr said
}

// said is the output of a process so far. It may be read while the process writes.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed by the next write; nil if nothing is waiting
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return s.text.Write(p)
}

// until returns a channel that the next write closes, or nil if the words are already there.
func (s *said) until(words string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(s.text.String(), words) {
		return nil
	}
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return s.more
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func startRegsync(t *testing.T, args ...string) *process {
	t.Helper()
	p := command(t, args...)
	p.start(t)
	return p
}

// command is a process that has not been started.
func command(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), "regsync", args...)}
	p.Env = append(os.Environ(), "HOME="+t.TempDir())
	p.Stderr = &p.stderr
	return p
}

func (p *process) start(t testing.TB) {
	t.Helper()
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP) // else the process ignores it where the tests run under nohup
	defer signal.Stop(hangUps)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil { // the test has failed, and the end of its context killed the process
			_ = p.Wait()
		}
	})
}

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

func (p *process) wantCode(t *testing.T, want int) {
	t.Helper()
	exit, ok := errors.AsType[*exec.ExitError](p.Wait())
	if !ok || exit.ExitCode() != want {
		t.Errorf("exit code %v, want %d; stderr:\n%s", exit, want, p.stderr.String())
	}
}

func (p *process) wantDone(t testing.TB) {
	t.Helper()
	if err := p.Wait(); err != nil {
		t.Errorf("%v; stderr:\n%s", err, p.stderr.String())
	}
}

func (p *process) wantWords(t *testing.T, words ...string) {
	t.Helper()
	for _, word := range words {
		if got := p.stderr.String(); !strings.Contains(got, word) {
			t.Errorf("stderr is\n%swant in it %s", got, word)
		}
	}
}

// told is what a process says of itself on stderr. Replacements, old and new in turn, stand for what differs from run to run.
func (p *process) told(replacements ...string) string {
	var told strings.Builder
	for line := range strings.Lines(p.stderr.String()) {
		line = moment.ReplaceAllLiteralString(strings.NewReplacer(replacements...).Replace(line), "TIME")
		if line = strings.TrimPrefix(line, "TIME "); strings.HasPrefix(line, "regsync: ") {
			told.WriteString(line)
		}
	}
	return told.String()
}

var moment = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?`)

// waitForWords waits until the words are on the process's stderr.
func (p *process) waitForWords(t *testing.T, words string) {
	t.Helper()
	late := time.After(patience)
	for more := p.stderr.until(words); more != nil; more = p.stderr.until(words) {
		select {
		case <-more:
		case <-late:
			t.Fatalf("stderr is\n%swant in it %s", p.stderr.String(), words)
		}
	}
}

// waitFor waits until the registry has received such a request.
func waitFor(t *testing.T, server *registrytest.Server, method, pattern string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := server.Await(ctx, func(all registrytest.Requests) bool { return len(all.Find(method, pattern)) > 0 })
	if err != nil {
		t.Fatalf("no %s %s: %v", method, pattern, err)
	}
}

// silent is a registry whose blobs do not come, so that a copy from it does not end.
func silent(t *testing.T) *registrytest.Server {
	t.Helper()
	server := registrytest.New(t)
	server.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	server.FailTimes(1000, registrytest.Match("GET", "/blobs/"), registrytest.Fault{Hang: true, After: 100})
	return server
}

func TestSignalEndsARunWithAReport(t *testing.T) {
	said := strings.Builder{}
	for _, test := range []struct {
		signal syscall.Signal
		code   int
	}{
		{syscall.SIGINT, 130}, {syscall.SIGHUP, 129}, {syscall.SIGTERM, 143},
	} {
		signal := test.signal
		from, to := silent(t), registrytest.New(t)
		p := startRegsync(t, "copy", from.Host()+"/app:1", to.Host()+"/app:1")
		waitFor(t, from, "GET", "/blobs/")
		p.signal(t, signal)
		p.wantCode(t, test.code)
		if got := p.told(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(p.stderr.String(), got) {
			t.Errorf("%v: stderr is\n%swant one error at its end", signal, p.stderr.String())
		}
		said.WriteString(p.told())
		if got := to.ManifestDigest("app", "1"); got != "" {
			t.Errorf("%v: the tag is %s", signal, got)
		}
		if opened, cancelled := to.Count("POST", "/uploads/"), to.Count("DELETE", "/uploads/"); opened != cancelled {
			t.Errorf("%v: %d uploads opened, %d cancelled", signal, opened, cancelled)
		}
	}
	golden.Text(t, said.String())
}

// A plan that a signal ends says that it is not whole: it once read "0 to add, 0 to move".
func TestSignalEndsAPlan(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	from.FailTimes(1000, registrytest.Match("GET", "/manifests/"), registrytest.Fault{Hang: true})
	from.FailTimes(1000, registrytest.Match("HEAD", "/manifests/"), registrytest.Fault{Hang: true})
	p := command(t, "diff", "-c", configured(t, from, to))
	var stdout strings.Builder
	p.Stdout = &stdout
	p.start(t)
	waitFor(t, from, "HEAD", "/manifests/")
	p.signal(t, syscall.SIGTERM)
	p.wantCode(t, 143)
	golden.Text(t, strings.NewReplacer(from.Host(), "FROM", to.Host(), "TO").Replace(stdout.String())+p.told())
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	from, to := silent(t), registrytest.New(t)
	to.FailTimes(1000, registrytest.Match("DELETE", "/uploads/"), registrytest.Fault{Hang: true})
	p := startRegsync(t, "copy", from.Host()+"/app:1", to.Host()+"/app:1")
	waitFor(t, from, "GET", "/blobs/")
	waitFor(t, to, "POST", "/uploads/")
	p.signal(t, syscall.SIGINT)
	waitFor(t, to, "DELETE", "/uploads/")
	p.signal(t, syscall.SIGINT)
	p.wantCode(t, 130)
	golden.Text(t, p.told())
	if strings.Contains(p.stderr.String(), "regsync: error") {
		t.Errorf("the run ended by itself:\n%s", p.stderr.String())
	}
}
