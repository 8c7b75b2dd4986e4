package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
)

// openTerminal creates a pseudo-terminal. Writing to keyboard types into it, and reading from
// keyboard returns what it shows. It stays open until the end of the test, because an
// interrupted prompt is still reading.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	var number int
	control(t, keyboard, func(fd int) (err error) {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return keyboard, terminal
}

func control(t *testing.T, f *os.File, do func(fd int) error) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil || done != nil {
		t.Fatal(err, done)
	}
}

func echoes(t *testing.T, terminal *os.File) (on bool) {
	t.Helper()
	control(t, terminal, func(fd int) error {
		settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			on = settings.Lflag&unix.ECHO != 0
		}
		return err
	})
	return on
}

// waitForEcho waits until the prompt has switched the terminal's echo on or off. A terminal
// sends no event for that, so this polls.
func waitForEcho(t *testing.T, terminal *os.File, on bool) {
	t.Helper()
	for end := time.Now().Add(patience); echoes(t, terminal) != on; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the echo is not %v", on)
		}
	}
}

func TestLoginAsksAtTheTerminal(t *testing.T) {
	r := newLoginRun(t)
	keyboard, terminal := openTerminal(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(t.Context(), terminal, "login")
	}()
	fmt.Fprint(keyboard, "me\n")
	waitForEcho(t, terminal, false)
	fmt.Fprint(keyboard, "pa:ss word\n")
	<-done
	if !echoes(t, terminal) {
		t.Error("the echo stays off")
	}
	r.expect(t, exitDone)
	r.golden(t)
	shown := make([]byte, 1024)
	n, err := keyboard.Read(shown)
	if err != nil || !strings.HasPrefix(string(shown[:n]), "me") || strings.Contains(string(shown[:n]), "pa:ss") {
		t.Errorf("the terminal shows %q, %v", shown[:n], err)
	}
}

func TestLoginInterruptedAtThePrompt(t *testing.T) {
	r := newLoginRun(t)
	_, terminal := openTerminal(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx, terminal, "login", "-u", "me")
	}()
	waitForEcho(t, terminal, false)
	cancel(signals.Error{Signal: syscall.SIGINT})
	<-done
	if !echoes(t, terminal) {
		t.Error("the echo stays off")
	}
	r.expect(t, 130)
	r.golden(t)
	if len(r.users.asked) > 0 || r.kept(t) != "" {
		t.Errorf("asked %q, kept %s", r.users.asked, r.kept(t))
	}
}

// Ctrl-D at a prompt ends the login, stores nothing, and restores the terminal.
func TestLoginEndedAtThePrompt(t *testing.T) {
	const endOfInput = "\x04"
	for _, test := range []struct {
		name string
		args []string
		echo bool // of the prompt
	}{
		{"user name", []string{"login"}, true},
		{"password", []string{"login", "-u", "me"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLoginRun(t)
			keyboard, terminal := openTerminal(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.run(t.Context(), terminal, test.args...)
			}()
			if !test.echo {
				waitForEcho(t, terminal, false)
			}
			fmt.Fprint(keyboard, endOfInput)
			<-done
			if !echoes(t, terminal) {
				t.Error("the echo stays off")
			}
			r.expect(t, exitFailed)
			r.golden(t)
			if len(r.users.asked) > 0 || r.kept(t) != "" {
				t.Errorf("asked %q, kept %s", r.users.asked, r.kept(t))
			}
		})
	}
}
