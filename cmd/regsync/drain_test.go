package main

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/registrytest/golden"
)

// held is a registry that takes no blob until it lets them in.
type held struct {
	*registrytest.Server
	letIn chan struct{}

	mu    sync.Mutex
	begun map[digest.Digest]bool
}

func holding(t *testing.T) *held {
	t.Helper()
	h := &held{Server: registrytest.New(t), letIn: make(chan struct{}), begun: map[digest.Digest]bool{}}
	match := registrytest.Match("PUT", "/blobs/uploads/")
	h.Fail(func(r *http.Request) *registrytest.Fault {
		if match(r) {
			h.begin(digest.Digest(r.URL.Query().Get("digest")))
			select {
			case <-h.letIn:
			case <-r.Context().Done():
			}
		}
		return nil
	})
	return h
}

func (h *held) begin(blob digest.Digest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun[blob] = true
}

// blobs are those that were begun so far.
func (h *held) blobs() []digest.Digest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.begun))
}

// TestDrain: the blobs that are under way when SIGTERM comes arrive, nothing new begins, and
// the next run sends the rest.
func TestDrain(t *testing.T) {
	from, to := registrytest.New(t), holding(t)
	image := registrytest.Image(registrytest.ImageSpec{Layers: make([]registrytest.Layer, 12)})
	from.Push("app", "1", image)
	file, state := configured(t, from, to.Server), t.TempDir()

	p := startRegsync(t, "sync", "-c", file, "--state", state, "--drain", "1h")
	waitFor(t, to.Server, "PUT", "/blobs/uploads/")
	p.signal(t, syscall.SIGTERM)
	p.waitForWords(t, "up to 1h")
	close(to.letIn)
	p.wantCode(t, 143)
	golden.Text(t, p.told())

	if to.ManifestDigest("app", "1") != "" {
		t.Error("the tag was moved")
	}
	begun := to.blobs()
	if len(begun) == 0 || len(begun) == len(image.AllBlobs()) {
		t.Fatalf("%d of %d blobs were begun", len(begun), len(image.AllBlobs()))
	}
	for _, blob := range begun {
		if !to.HasBlob("app", blob) {
			t.Errorf("%s was under way and has not arrived", blob)
		}
	}

	startRegsync(t, "sync", "-c", file, "--state", state).wantDone(t)
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
	if got, want := to.Count("PUT", "/blobs/uploads/"), len(image.AllBlobs()); got != want {
		t.Errorf("%d blobs were sent, want each of %d once", got, want)
	}
}

// TestDrainThatTakesTooLong: the time is up, or there is no time at all: transfers in progress are cancelled, and reported.
func TestDrainThatTakesTooLong(t *testing.T) {
	for name, drain := range map[string]string{"time is up": "10ms", "no time": "0"} {
		t.Run(name, func(t *testing.T) {
			from, to := registrytest.New(t), holding(t)
			defer close(to.letIn)
			from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
			p := startRegsync(t, "sync", "-c", configured(t, from, to.Server), "--drain", drain)
			waitFor(t, to.Server, "PUT", "/blobs/uploads/") // what has not begun would not be waited for
			p.signal(t, syscall.SIGTERM)
			p.wantCode(t, 143)
			if opened, cancelled := to.Count("POST", "/uploads/"), to.Count("DELETE", "/uploads/"); opened != cancelled {
				t.Errorf("%d uploads opened, %d cancelled", opened, cancelled)
			}
			if to.ManifestDigest("app", "1") != "" {
				t.Error("the tag was moved")
			}
		})
	}
}

// TestEndOfDrainReportsSoon: a destination that had frozen held the report up for eleven
// seconds, and each upload was asked for its offset as often as there was time for.
func TestEndOfDrainReportsSoon(t *testing.T) {
	for name, frozen := range map[string]bool{"healthy": false, "frozen": true} {
		t.Run(name, func(t *testing.T) {
			from, to := registrytest.New(t), holding(t)
			defer close(to.letIn)
			from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Layers: make([]registrytest.Layer, 12)}))
			if frozen {
				to.FailTimes(1000, registrytest.Match("DELETE", "/uploads/"), registrytest.Fault{Hang: true})
				to.FailTimes(1000, registrytest.Match("GET", "/uploads/"), registrytest.Fault{Hang: true})
			}
			report := filepath.Join(t.TempDir(), "last.json")
			p := startRegsync(t, "sync", "-c", configured(t, from, to.Server), "--drain", "10ms", "--report", report)
			waitFor(t, to.Server, "PUT", "/blobs/uploads/")
			start := time.Now()
			p.signal(t, syscall.SIGTERM)
			p.wantCode(t, 143)
			if took := time.Since(start); took > 5*time.Second { // it takes two, and this machine may be busy
				t.Errorf("it ended after %v", took)
			}
			if raw, err := os.ReadFile(report); err != nil || !strings.Contains(string(raw), `"exitCode": 143`) {
				t.Errorf("the report is %s, %v", raw, err)
			}
			opened, looked, cancelled := to.Count("POST", "/uploads/"), to.Count("GET", "/uploads/"), to.Count("DELETE", "/uploads/")
			if looked > opened || cancelled > opened || !frozen && cancelled < opened {
				t.Errorf("%d uploads opened, %d looks, %d cancelled", opened, looked, cancelled)
			}
		})
	}
}

// TestSecondSignalEndsADrain: a second signal of any kind ends the run without a report.
func TestSecondSignalEndsADrain(t *testing.T) {
	var said strings.Builder
	for _, test := range []struct {
		second syscall.Signal
		code   int
	}{{syscall.SIGTERM, 143}, {syscall.SIGINT, 130}} {
		from, to := registrytest.New(t), holding(t)
		from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
		report := filepath.Join(t.TempDir(), "last.json")
		p := startRegsync(t, "sync", "-c", configured(t, from, to.Server), "--drain", "1h", "--report", report)
		waitFor(t, to.Server, "PUT", "/blobs/uploads/")
		p.signal(t, syscall.SIGTERM)
		p.waitForWords(t, "SIGTERM")
		p.signal(t, test.second)
		p.wantCode(t, test.code)
		close(to.letIn)
		said.WriteString(p.told())
		if raw, err := os.ReadFile(report); err == nil && len(raw) > 0 {
			t.Errorf("%v: the report is %s", test.second, raw)
		}
		if to.ManifestDigest("app", "1") != "" {
			t.Errorf("%v: the tag was set", test.second)
		}
	}
	golden.Text(t, said.String())
}
