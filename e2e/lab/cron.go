package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Cron has Debian's cron obey a crontab of the form of /etc/cron.d until the test ends. A
// cron that runs already is used; else one is started, and stopped at the end. It needs
// root.
func Cron(t testing.TB, name, crontab string) {
	t.Helper()
	file := filepath.Join("/etc/cron.d", name)
	if err := os.WriteFile(file, []byte(crontab), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	})
	daemon := exec.Command("cron", "-f")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	// A second cron finds the lock of the first and ends at once.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = daemon.Wait()
	}()
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("cron does not end: %v", daemon.Process.Kill())
		}
	})
}

// Appears waits until a file is there.
func Appears(ctx context.Context, file string) error {
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not appear: %w", file, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
