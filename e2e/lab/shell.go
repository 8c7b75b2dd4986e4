package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Shell is where a person types: an environment with a home, a docker configuration, a store
// and a folder for temporary files of its own.
type Shell struct {
	// Dir holds all of it, and is the working folder.
	Dir string

	regsync   string
	variables []string
	secrets   []string
}

// NewShell makes one for the regsync at file. Variables are NAME=value, beside those of a
// bare environment.
func NewShell(t testing.TB, file string, variables ...string) *Shell {
	t.Helper()
	s := &Shell{Dir: t.TempDir(), regsync: file}
	for _, dir := range []string{s.Docker(), s.Temporary(), s.Store()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.variables = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.Dir,
		"DOCKER_CONFIG=" + s.Docker(),
		"REGSYNC_STORE=" + s.Store(),
		"REGSYNC_STATE=" + filepath.Join(s.Dir, "state"),
		"TMPDIR=" + s.Temporary(),
	}, variables...)
	return s
}

// Set adds NAME=value to the environment.
func (s *Shell) Set(variable string) { s.variables = append(s.variables, variable) }

// Keep names what no command may ever print.
func (s *Shell) Keep(secrets ...string) { s.secrets = append(s.secrets, secrets...) }

// Docker is the folder of docker's configuration, where logins are kept.
func (s *Shell) Docker() string { return filepath.Join(s.Dir, "docker") }

// Store is the folder of the local store.
func (s *Shell) Store() string { return filepath.Join(s.Dir, "store") }

// Temporary is TMPDIR.
func (s *Shell) Temporary() string { return filepath.Join(s.Dir, "tmp") }

// Path is a file in the working folder.
func (s *Shell) Path(name string) string { return filepath.Join(s.Dir, name) }

// Outcome is how a command ended.
type Outcome struct {
	Args   []string
	Stdout string
	Stderr string
	// Code is the exit code; -1 if a signal ended it.
	Code    int
	Elapsed time.Duration
	// PeakMemory is the most resident memory, PeakDisk the most that lay in the shell's
	// folder, in bytes, as far as they were seen.
	PeakMemory int64
	PeakDisk   int64
}

// Out is stdout without the space around it.
func (o *Outcome) Out() string { return strings.TrimSpace(o.Stdout) }

// Says fails the test unless the output contains all texts.
func (o *Outcome) Says(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.Stdout+o.Stderr, text) {
			t.Errorf("%s: the output lacks %q:\n%s%s", strings.Join(o.Args, " "), text, o.Stdout, o.Stderr)
		}
	}
}

// Regsync runs regsync and wants it to succeed.
func (s *Shell) Regsync(t testing.TB, args ...string) *Outcome {
	t.Helper()
	return s.Want(t, 0, args...)
}

// Want runs regsync and wants an exit code.
func (s *Shell) Want(t testing.TB, code int, args ...string) *Outcome {
	t.Helper()
	outcome := s.Start(t, "", args...).Wait(t)
	outcome.want(t, code)
	return outcome
}

// Feed runs regsync with something on its standard input and wants an exit code.
func (s *Shell) Feed(t testing.TB, code int, stdin string, args ...string) *Outcome {
	t.Helper()
	outcome := s.Start(t, stdin, args...).Wait(t)
	outcome.want(t, code)
	return outcome
}

func (o *Outcome) want(t testing.TB, code int) {
	t.Helper()
	if o.Code != code {
		t.Fatalf("%s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s",
			strings.Join(o.Args, " "), o.Code, code, o.Stdout, o.Stderr)
	}
}

// Run runs another program in the same environment, wants it to succeed and returns what it
// printed, without the space around it.
func (s *Shell) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	return s.RunFed(t, "", name, args...)
}

// RunFed is Run with something on the standard input.
func (s *Shell) RunFed(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir, command.Env = s.Dir, s.variables
	command.Stdin = strings.NewReader(stdin)
	out, err := output(command)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Try runs another program to clean up: it is run even though the test has ended.
func (s *Shell) Try(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env = s.variables
	_, err := output(command)
	return err
}

// Process is a regsync that is under way.
type Process struct {
	shell          *Shell
	command        *exec.Cmd
	stdout, stderr printed
	began          time.Time
	watch          sync.WaitGroup
	ended          chan struct{}
	peakMemory     int64
	peakDisk       int64
}

// Start starts regsync.
func (s *Shell) Start(t testing.TB, stdin string, args ...string) *Process {
	t.Helper()
	// Not the test's context: at its end the process is to be interrupted, not killed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	t.Cleanup(cancel)
	p := &Process{
		shell:   s,
		command: exec.CommandContext(ctx, s.regsync, args...),
		began:   time.Now(),
		ended:   make(chan struct{}),
	}
	p.command.Dir, p.command.Env = s.Dir, s.variables
	p.command.Stdout, p.command.Stderr = &p.stdout, &p.stderr
	if stdin != "" {
		p.command.Stdin = strings.NewReader(stdin)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.watch.Go(p.watchUse)
	t.Cleanup(func() {
		if p.command.ProcessState == nil { // the test has failed, and did not wait for it
			cancel()
			_ = p.end()
		}
	})
	return p
}

// Signal sends it a signal: SIGINT is Ctrl-C.
func (p *Process) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Await waits until one of the words is on stderr, for two minutes at most.
func (p *Process) Await(t testing.TB, words ...string) {
	t.Helper()
	late := time.After(patience)
	for more := p.stderr.until(words); more != nil; more = p.stderr.until(words) {
		select {
		case <-more:
		case <-p.ended:
			t.Fatalf("%s has ended, and does not say %q:\n%s", strings.Join(p.command.Args, " "), words, p.stderr.String())
		case <-late:
			t.Fatalf("%s does not say %q:\n%s", strings.Join(p.command.Args, " "), words, p.stderr.String())
		}
	}
}

// end waits for the process, and for what watches it.
func (p *Process) end() error {
	err := p.command.Wait()
	close(p.ended)
	p.watch.Wait()
	return err
}

// Wait waits for its end.
func (p *Process) Wait(t testing.TB) *Outcome {
	t.Helper()
	err := p.end()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	for _, secret := range p.shell.secrets {
		if strings.Contains(p.stdout.String()+p.stderr.String(), secret) {
			t.Errorf("%s prints a secret", strings.Join(p.command.Args, " "))
		}
	}
	return &Outcome{
		Args:       p.command.Args,
		Stdout:     p.stdout.String(),
		Stderr:     p.stderr.String(),
		Code:       p.command.ProcessState.ExitCode(),
		Elapsed:    time.Since(p.began),
		PeakMemory: p.peakMemory,
		PeakDisk:   p.peakDisk,
	}
}

// printed is the output of a process so far. It may be read while the process writes.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed by the next write; nil if nothing is waiting
}

func (p *printed) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.more != nil {
		close(p.more)
		p.more = nil
	}
	return p.text.Write(text)
}

// until returns a channel that the next write closes, or nil if one of the words is already there.
func (p *printed) until(words []string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := p.text.String()
	if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) }) {
		return nil
	}
	if p.more == nil {
		p.more = make(chan struct{})
	}
	return p.more
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// watchUse reads the process's own high-water mark. The one that wait4 reports would count
// what the test had resident when it started the process.
func (p *Process) watchUse() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-tick.C:
			p.peakMemory = max(p.peakMemory, highWater(p.command.Process.Pid))
			p.peakDisk = max(p.peakDisk, p.shell.DiskUse())
		}
	}
}

// highWater is VmHWM of /proc/PID/status in bytes, 0 where there is none.
func highWater(pid int) int64 {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// Know writes credentials into docker's configuration, as a person who has logged in has
// them.
func (s *Shell) Know(t testing.TB, user User, hosts ...string) {
	t.Helper()
	type entry struct {
		Auth string `json:"auth"`
	}
	auths := map[string]entry{}
	for _, host := range hosts {
		auths[host] = entry{base64.StdEncoding.EncodeToString([]byte(user.Name + ":" + user.Password))}
	}
	text, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Docker(), "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if user.Password != "" {
		s.Keep(user.Password)
	}
}

// Write writes a file of the working folder and returns its path.
func (s *Shell) Write(t testing.TB, name, text string) string {
	t.Helper()
	if err := os.WriteFile(s.Path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Path(name)
}

// DiskUse is how many bytes lie in the folder of the shell.
func (s *Shell) DiskUse() int64 {
	var sum int64
	// What vanishes while it is looked at does not count.
	_ = filepath.WalkDir(s.Dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // see above
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
