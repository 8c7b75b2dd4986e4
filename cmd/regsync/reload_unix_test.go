//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/registrytest/golden"
)

// A run that its configuration makes slow becomes fast when the configuration is changed. A configuration with an error
// changes nothing.
func TestHangUpReloadsTheLimits(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t)
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: 500 << 10}}}))
	file := filepath.Join(t.TempDir(), "regsync.yaml")
	write := func(bandwidth string) {
		t.Helper()
		text := "version: 1\nregistries: {\"" + from.Host() + "\": {bandwidth: " + bandwidth + "}}\nsync: [{from: " +
			from.Host() + "/app:1, to: " + to.Host() + "/app}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1KiB/s") // the layer takes 7 minutes
	p := startRegsync(t, "sync", "-c", file)
	waitFor(t, from, "GET", "/blobs/")
	write("fast")
	p.signal(t, syscall.SIGHUP)
	p.waitForWords(t, "not changed")
	write("unlimited")
	p.signal(t, syscall.SIGHUP)
	p.waitForWords(t, "reloaded")
	p.wantDone(t)
	golden.Text(t, p.told(file, "FILE"))
	if got := to.ManifestDigest("app", "1"); got == "" {
		t.Error("not copied")
	}
}

// A SIGHUP that comes before the run has begun does not end the process.
func TestHangUpBeforeTheRun(t *testing.T) {
	from, to := silent(t), registrytest.New(t)
	file, state := configured(t, from, to), t.TempDir()
	first := startRegsync(t, "sync", "-c", file, "--state", state)
	waitFor(t, from, "GET", "/blobs/")
	waiting := startRegsync(t, "sync", "-c", file, "--state", state)
	waiting.waitForWords(t, "another run")
	for _, p := range []*process{waiting, first} {
		p.signal(t, syscall.SIGHUP)
		p.signal(t, syscall.SIGINT)
		p.wantCode(t, 130)
	}
}
