package ui

import (
	"slices"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// TestLayerThatIsTriedAgain: the line of a layer that had failed had scrolled away, and its last word was "Failed" though a
// second try pushed it. A layer that was there before has one line only.
func TestLayerThatIsTriedAgain(t *testing.T) {
	s := &story{t: t}
	job := s.job("harbor.corp:5443/team/app:1.1", "harbor.corp:5443/team/app:1.1")
	to, broken, there := job.Destinations[0], blob(1, 1000), blob(2, 1000)
	now := time.Now()
	l := &layers{style: Pushing, warnings: &warnings{}, byKey: map[blobKey]*layer{}, opened: map[string]bool{}}
	plan := transfer.Planned{Plan: s.plan(job, 1, transfer.ActionAdd, broken, there)}
	var lines []string
	observe := func(events ...transfer.Event) {
		for _, e := range events {
			l.observe(now, e)
		}
		lines = append(lines, l.finished(false)...)
	}
	observe(plan, transfer.BlobStarted{Destination: to, Descriptor: broken, Progress: &transfer.Progress{Total: 1000}},
		transfer.BlobDone{Destination: to, Descriptor: there, Outcome: transfer.BlobExists},
		transfer.BlobDone{Destination: to, Descriptor: broken, Outcome: transfer.BlobFailed, Err: errReset})
	observe(plan, transfer.BlobDone{Destination: to, Descriptor: there, Outcome: transfer.BlobExists})
	observe(transfer.BlobStarted{Destination: to, Descriptor: broken, Progress: &transfer.Progress{Total: 1000}})
	if shown := l.lines(now, 80, 24); len(shown) != 1 {
		t.Errorf("while it is tried again, the lines are %q", shown)
	}
	observe(transfer.BlobDone{Destination: to, Descriptor: broken, Outcome: transfer.BlobSent})
	lines = append(lines, l.finished(true)...)
	outcome := func(d transfer.BlobOutcome) string { return Pushing.words().outcome(transfer.BlobDone{Outcome: d}) }
	want := []string{
		ShortID(broken.Digest) + ": " + outcome(transfer.BlobFailed), ShortID(there.Digest) + ": " + outcome(transfer.BlobExists),
		ShortID(broken.Digest) + ": " + outcome(transfer.BlobSent),
	}
	if !slices.Equal(lines, want) {
		t.Errorf("lines are %q, want %q", lines, want)
	}
}
