package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/registrytest/golden"
)

// TestRefusedConnections: cron sees why a run hangs, and the report of a run that is ended meanwhile says it, too. Both said
// nothing of it.
func TestRefusedConnections(t *testing.T) {
	from := registrytest.New(t)
	for n := range 3 {
		from.Push("app", fmt.Sprint(n), registrytest.Image(registrytest.ImageSpec{Seed: uint64(n)}))
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	dir := t.TempDir()
	config, report := filepath.Join(dir, "mirror.yaml"), filepath.Join(dir, "last.json")
	text := fmt.Sprintf("version: 1\nsync:\n  - {name: app, from: %q, to: %q}\n", from.Host()+"/app", closed.Addr().String()+"/app")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for _, end := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGTERM, 143}, {syscall.SIGINT, 130}} {
		p := startRegsync(t, "sync", "-q", "-c", config, "--report", report)
		p.waitForWords(t, "retrying for up to")
		p.signal(t, end.signal)
		p.wantCode(t, end.code)
		said.WriteString(p.told(closed.Addr().String(), "CLOSED"))
		if raw, err := os.ReadFile(report); err != nil || strings.Count(string(raw), `"code": "CONNECTION_REFUSED"`) != 3 {
			t.Errorf("the report is %s, %v", raw, err)
		}
	}
	golden.Text(t, said.String())
}
