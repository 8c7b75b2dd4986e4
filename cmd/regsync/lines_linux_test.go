package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regsync/regsync/internal/registrytest"
)

// firstSync prepares the first sync of 58 tags: images of two platforms in eight repositories that share a layer. It
// returns the arguments.
func firstSync(t *testing.T) []string {
	t.Helper()
	from, to := registrytest.New(t), registrytest.New(t)
	for n := range 58 {
		from.Push(fmt.Sprint("team/app", n%8), fmt.Sprint("1.", n), registrytest.Platforms(uint64(1+2*n), "linux/amd64", "linux/arm64"))
	}
	file := filepath.Join(t.TempDir(), "mirror.yaml")
	text := fmt.Sprintf("version: 1\nsync: [{name: team, from: '%s/team/*', to: '%s/mirror/{{.Base}}'}]\n", from.Host(), to.Host())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"sync", "-c", file, "--state", t.TempDir()}
}

// In a log each thing is told once: a line for each tag, with its time, and a summary.
func TestLinesOfAFirstSyncInALog(t *testing.T) {
	args := firstSync(t)
	p := command(t, args...)
	var stdout strings.Builder
	p.Stdout = &stdout
	p.start(t)
	p.wantDone(t)
	stderr := p.stderr.String()
	lines := strings.Count(stderr, "\n") + strings.Count(stdout.String(), "\n")
	t.Logf("%d lines", lines)
	if lines > 75 {
		t.Errorf("%d lines, want at most 75:\n%s%s", lines, stderr, stdout.String())
	}
	for n := range 58 {
		if got := strings.Count(stderr+stdout.String(), fmt.Sprintf("/app%d:1.%d ", n%8, n)); got != 2 { // its two names in one line
			t.Errorf("the tag 1.%d is named %d times, want twice", n, got)
		}
	}
	quiet := command(t, append(firstSync(t), "-q")...)
	quiet.start(t)
	quiet.wantDone(t)
	if got := quiet.stderr.String(); got != "" {
		t.Errorf("with -q: %s", got)
	}
}

// On a terminal the end is a summary.
func TestLinesOfAFirstSyncOnATerminal(t *testing.T) {
	left := terminalText(t, 80, 24, firstSync(t)...)
	lines := strings.Count(left, "\n")
	t.Logf("%d lines", lines)
	if lines > 12 || !strings.Contains(left, "58 copied") {
		t.Errorf("%d lines, want at most 12:\n%s", lines, left)
	}
}

// terminalText runs regsync on a terminal and returns what is left there at the end.
func terminalText(t *testing.T, columns, rows uint16, args ...string) string {
	t.Helper()
	keyboard, terminal := openTerminal(t)
	control(t, terminal, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	p := command(t, args...)
	p.Env = append(p.Env, "TERM=xterm")
	p.Stdout, p.Stderr = terminal, terminal
	shown := make(chan string)
	go func() {
		text, _ := io.ReadAll(keyboard) // ends with EIO when the other side is closed
		shown <- string(text)
	}()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	all := <-shown
	// What was drawn over was erased from the cursor on before the lines that stay.
	return all[strings.LastIndex(all, "\x1b8")+len("\x1b8"):]
}
