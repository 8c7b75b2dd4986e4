package ui

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

func TestNoneShowsNothing(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(None, &out, Options{})
	(&story{t: t, observe: p.Observe}).redis()
	fmt.Fprintln(p, "a log line")
	p.Close()
	p.Close()
	if got := out.String(); got != "a log line\n" {
		t.Errorf("got %q", got)
	}
}

func TestDumbTerminalGetsPlainLines(t *testing.T) {
	v := newVT(200, 12)
	p := NewProgress(Auto, v, Options{Env: func(name string) (string, bool) { return "dumb", name == "TERM" }})
	(&story{t: t, observe: p.Observe}).alpine()
	p.Close()
	if at, line, _ := strings.Cut(v.screen(), " "); !isTime(at) || !strings.HasPrefix(line, "moved alpine:3 -> ") {
		t.Errorf("got %q", v.screen())
	}
}

// stopped is a terminal on which somebody pressed Ctrl-S.
type stopped struct {
	*vt
	goOn chan struct{}
}

func (s stopped) Write(p []byte) (int, error) {
	<-s.goOn
	return s.vt.Write(p)
}

func TestObserveDoesNotWaitForTheTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := stopped{newVT(200, 24), make(chan struct{})}
		p := NewProgress(Auto, v, Options{Verbose: true, Env: noColor})
		began := time.Now()
		s := &story{t: t, observe: p.Observe}
		s.busybox()
		time.Sleep(time.Second) // it is being written now
		s.alpine()
		s.ghost()
		if got := time.Since(began); got != time.Second {
			t.Errorf("three images took %v, want 1s", got)
		}
		close(v.goOn)
		p.Close()
		if got := v.screen(); strings.Count(got, "unchanged busybox")+strings.Count(got, "moved alpine") != 2 {
			t.Errorf("got %s", got)
		}
	})
}

func TestObserveFromManyGoroutines(t *testing.T) {
	for _, style := range []Style{Copying, Pulling} {
		for _, mode := range []Mode{Auto, Plain, JSON} {
			v := newVT(200, 24)
			p := NewProgress(mode, v, Options{Style: style, Env: noColor})
			var telling sync.WaitGroup
			for n := range 20 {
				telling.Go(func() {
					s := &story{t: t, observe: p.Observe}
					job := s.job("nginx", fmt.Sprintf("localhost:5000/nginx:%d", n))
					plan := s.plan(job, 1, transfer.ActionAdd, blob(n, 1000))
					s.observe(transfer.Planned{Plan: plan})
					progress := &transfer.Progress{Total: 1000}
					s.observe(transfer.BlobStarted{Destination: job.Destinations[0], Descriptor: blob(n, 1000), Progress: progress})
					progress.Add(1000)
					s.observe(transfer.BlobDone{Destination: job.Destinations[0], Descriptor: blob(n, 1000), Outcome: transfer.BlobSent})
					s.done(plan, 1, nil)
					p.Close() // others are still telling
				})
			}
			telling.Wait()
		}
	}
}

// --verbose logs through the progress, in whatever mode.
func TestLogLines(t *testing.T) {
	for mode, want := range map[Mode]string{
		Plain: "2000-01-01T00:00:00Z level=DEBUG \\x1b[2J\n",
		JSON: `{"time":"2000-01-01T00:00:00.000Z","event":"start","schema":"regsync.event/v1"}
{"time":"2000-01-01T00:00:00.000Z","event":"log","text":"level=DEBUG \u001b[2J"}
{"time":"2000-01-01T00:00:00.000Z","event":"end","images":{"done":0,"total":0},"bytes":{"done":0,"total":0,"sent":0,"perSecond":0}}
`,
	} {
		var out bytes.Buffer
		synctest.Test(t, func(*testing.T) {
			p := NewProgress(mode, &out, Options{})
			fmt.Fprintln(p, "level=DEBUG \x1b[2J")
			p.Close()
		})
		if got := out.String(); got != want {
			t.Errorf("%s: got %q, want %q", mode, got, want)
		}
	}
}
