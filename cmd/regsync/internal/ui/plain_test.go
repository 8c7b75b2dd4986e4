package ui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/transfer"
)

// show plays the story to a mode that writes to no terminal.
func show(t *testing.T, mode Mode, options Options) string {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(mode, &out, options)
		s := &story{t: t, observe: p.Observe}
		s.tell()
		p.Close()
	})
	return out.String()
}

func TestPlain(t *testing.T) {
	golden.File(t, "plain", show(t, Auto, Options{}))
}

func TestPlainVerbose(t *testing.T) {
	golden.File(t, "plain-verbose", show(t, Plain, Options{Verbose: true}))
}

func TestPlainPush(t *testing.T) {
	golden.File(t, "plain-push", show(t, Plain, Options{Style: Pushing}))
}

func TestPlainHasNoControlCharacters(t *testing.T) {
	for line := range strings.Lines(show(t, Plain, Options{Verbose: true})) {
		line = strings.TrimSuffix(line, "\n")
		if line != safe.Clean(line) {
			t.Errorf("a terminal would obey %q", line)
		}
		if at, _, _ := strings.Cut(line, " "); !isTime(at) {
			t.Errorf("%q does not begin with a time", line)
		}
	}
}

func isTime(s string) bool { _, err := time.Parse(time.RFC3339, s); return err == nil }

// CI systems end jobs that say nothing for minutes.
func TestPlainSaysThatItIsAlive(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Plain, &out, Options{Images: 4})
		s := &story{t: t, observe: p.Observe}
		s.off()
		job := s.job("nginx:1.25", "harbor.corp:5443/hub/nginx:1.25")
		s.observe(transfer.Planned{Plan: s.plan(job, 1, transfer.ActionAdd, blob(1, 900e6))})
		s.move(job.Destinations[0], blob(1, 900e6), 900)
		p.Close()
	})
	golden.File(t, "plain-alive", out.String())
}

// What the end of a run keeps from arriving has not failed, whether its end is an event or not.
func TestCanceledLayers(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Plain, &out, Options{Style: Pushing})
		to := ref(t, "localhost:5000/nginx:1.25")
		for n, err := range []error{fmt.Errorf("push: %w", context.Canceled), io.ErrUnexpectedEOF, nil} {
			p.Observe(transfer.BlobStarted{Destination: to, Descriptor: blob(n, 1000), Progress: &transfer.Progress{Total: 1000}})
			if err != nil {
				p.Observe(transfer.BlobDone{Destination: to, Descriptor: blob(n, 1000), Outcome: transfer.BlobFailed, Err: err})
			}
		}
		p.Close()
	})
	golden.Text(t, out.String())
}

// Each cause of a failure is told once, by the caller at the end, and what Ctrl-C cancelled did not fail.
func TestPlainLeavesFailuresToTheCaller(t *testing.T) {
	for _, err := range []error{context.Canceled, io.ErrUnexpectedEOF} {
		var out bytes.Buffer
		p := NewProgress(Plain, &out, Options{})
		s := &story{t: t, observe: p.Observe}
		s.done(s.plan(s.job("nginx:1.25", "localhost:5000/nginx:1.25"), 1, transfer.ActionAdd, blob(1, 1)), 1, err)
		p.Close()
		if out.Len() > 0 {
			t.Errorf("of %v the log says %q", err, out.String())
		}
	}
}

// A rule may leave hundreds of tags as they are, every night: the report tells them grouped,
// the log only where everything is asked for.
func TestPlainTellsOfSkippedTagsOnlyWhenVerbose(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var out bytes.Buffer
		p := NewProgress(Plain, &out, Options{Verbose: verbose})
		s := &story{t: t, observe: p.Observe}
		plan := skippedPlan(s, "1.0", transfer.Rule{Kind: transfer.RuleNever})
		s.observe(transfer.DestinationDone{Job: plan.Job, Result: transfer.DestinationResult{
			Reference: plan.Destinations[0].Reference, Action: transfer.ActionSkip, Rule: plan.Destinations[0].Rule,
		}})
		p.Close()
		_, line, told := strings.Cut(out.String(), " ") // without the time
		if told != verbose {
			t.Errorf("verbose %v: got %q", verbose, out.String())
		}
		if told {
			golden.Text(t, line)
		}
	}
}

// A destination that is tried again is planned again: a pull still begins with one line.
func TestPlannedAgainBeginsOnce(t *testing.T) {
	for _, mode := range []Mode{Plain, Auto} {
		v := newVT(200, 24)
		p := NewProgress(mode, v, Options{Style: Pulling, Env: noColor})
		s := &story{t: t, observe: p.Observe}
		plan := s.plan(s.job("nginx:1.25", "localhost:5000/nginx:1.25"), 1, transfer.ActionAdd, blob(1, 1000))
		s.observe(transfer.Planned{Plan: plan})
		s.observe(transfer.Planned{Plan: plan})
		s.done(plan, 1, nil)
		p.Close()
		if got := v.screen(); strings.Count(got, "1.25: Pulling from library/nginx") != 1 {
			t.Errorf("%s: got %s", mode, got)
		}
	}
}
