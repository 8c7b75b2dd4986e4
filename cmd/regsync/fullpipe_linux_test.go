package main

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
)

// TestSignalsWhileStderrIsFull: what reads stderr had stopped, as a pager does. The first signal waited for it with a lock
// held, and the second wrote before it exited, so that no signal ended the process.
func TestSignalsWhileStderrIsFull(t *testing.T) {
	from, to := registrytest.New(t), holding(t)
	defer close(to.letIn)
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	fillPipe(t, writer)

	p := command(t, "sync", "-c", configured(t, from, to.Server), "--drain", "1h", "--progress", "none")
	p.Stderr = writer
	p.start(t)
	waitFor(t, to.Server, "PUT", "/blobs/uploads/")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.wantCode(t, 143)
	}()
	late := time.After(patience)
	for {
		p.signal(t, syscall.SIGTERM) // two that come at once may be one
		select {
		case <-ended:
			return
		case <-late:
			_ = p.Process.Kill()
			<-ended
			t.Fatal("no signal ended the process")
		case <-time.After(time.Second):
		}
	}
}

// fillPipe writes until nothing more fits.
func fillPipe(t *testing.T, writer *os.File) {
	t.Helper()
	if err := writer.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(make([]byte, 4<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the pipe is not full: %v", err)
	}
}
