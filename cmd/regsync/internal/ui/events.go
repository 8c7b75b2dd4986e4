package ui

import (
	"bytes"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// progressEvery is the time between two events "progress".
const progressEvery = time.Second

// events writes what happens as lines of [report.Event].
type events struct {
	out        *bytes.Buffer
	hints      report.Hints
	flow       *flow
	progressAt time.Time           // of the last look at the progress
	last       report.ByteProgress // that was written
}

var _ view = (*events)(nil)

func newEvents(out *bytes.Buffer, options Options) *events {
	v := &events{out: out, hints: options.Hints, flow: newFlow(options.Images)}
	v.write(time.Now(), report.Event{Event: "start", Schema: report.EventSchema})
	return v
}

func (v *events) write(at time.Time, line report.Event) { _ = writeEvent(v.out, at, line) } // into memory

func writeEvent(w io.Writer, at time.Time, line report.Event) error {
	line.Time = at.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return safe.WriteJSONLine(w, line)
}

func (v *events) note(at time.Time, line string) {
	v.write(at, report.Event{Event: "log", Text: line})
}

func (v *events) paused(at time.Time, p Pause) { v.write(at, p.event(at)) }

func (v *events) observe(at time.Time, e transfer.Event) {
	v.flow.observe(at, e)
	switch e := e.(type) {
	case transfer.Planned:
		v.write(at, v.planned(e.Plan))
	case transfer.BlobStarted:
		line := blobLine("blob-started", e.Destination, e.Descriptor.Digest, &e.Descriptor.Size)
		line.MediaType = e.Descriptor.MediaType
		v.write(at, line)
	case transfer.BlobRetrying:
		line := blobLine("blob-retrying", e.Destination, e.Descriptor.Digest, nil)
		line.Attempt, line.WaitSeconds, line.Error = e.Attempt, seconds(e.Wait), report.NewProblem(e.Err, v.hints)
		v.write(at, line)
	case transfer.BlobDone:
		line := blobLine("blob-done", e.Destination, e.Descriptor.Digest, &e.Descriptor.Size)
		line.Outcome, line.From, line.Error = e.Outcome, e.From, report.NewProblem(e.Err, v.hints)
		v.write(at, line)
	case transfer.ManifestPushed:
		line := blobLine("manifest-pushed", e.Destination, e.Descriptor.Digest, &e.Descriptor.Size)
		line.MediaType, line.Tag = e.Descriptor.MediaType, e.Tag
		v.write(at, line)
	case transfer.Warned:
		v.write(at, report.Event{Event: "warning", Source: name(e.Source), Text: WarningText(e.Warning)})
	case transfer.DestinationDone:
		job, r := e.Job, e.Result
		v.write(at, report.Event{
			Event: "destination-done", Entry: job.Entry, Source: name(job.Source), Destination: name(r.Reference),
			Action: r.Action, Status: report.StatusOf(r), Digest: r.Digest.String(), Previous: r.Previous.String(),
			Referrers: r.Referrers, Rule: report.RuleOf(r.Rule), Reason: reasonOf(r), Error: report.NewProblem(r.Err, v.hints),
		})
	case transfer.JobDone:
		v.write(at, report.Event{
			Event: "job-done", Entry: e.Result.Job.Entry, Source: name(e.Result.Job.Source),
			Digest: e.Result.Digest.String(), Failed: e.Result.Failed(), Seconds: seconds(e.Result.Elapsed),
		})
	}
}

func blobLine(event string, destination reference.Reference, d digest.Digest, size *int64) report.Event {
	return report.Event{Event: event, Destination: name(destination), Digest: d.String(), Size: size}
}

func (v *events) planned(p *transfer.Plan) report.Event {
	line := report.Event{Event: "planned", Entry: p.Job.Entry, Source: name(p.Job.Source), Digest: p.Image.Digest.String()}
	for _, to := range p.Destinations {
		rule := report.RuleOf(to.Rule)
		line.Destinations = append(line.Destinations, report.PlannedDestination{
			Destination: name(to.Reference), Action: to.Action, Previous: to.Previous.String(),
			Blobs: len(to.Blobs), Bytes: to.Bytes(), Referrers: to.Referrers, Rule: rule, Reason: ruleText(rule),
			Error: report.NewProblem(to.Err, v.hints),
		})
	}
	return line
}

func (v *events) draw(now time.Time) {
	v.flow.measure(now)
	if v.progressAt.IsZero() {
		v.progressAt = now
	}
	if now.Sub(v.progressAt) < progressEvery {
		return
	}
	v.progressAt = now
	if line := v.progress("progress"); *line.Bytes != v.last {
		v.last = *line.Bytes
		v.write(now, line)
	}
}

func (v *events) end(now time.Time) {
	v.flow.measure(now)
	v.write(now, v.progress("end"))
}

func (v *events) progress(event string) report.Event {
	done := v.flow.done()
	total, _, _ := v.flow.total()
	line := report.Event{
		Event: event, Images: &report.ImageProgress{Done: v.flow.ended, Total: max(v.flow.images, v.flow.known)},
		Bytes: &report.ByteProgress{Done: done, Total: total, Sent: done, PerSecond: int64(v.flow.sending.Speed())},
	}
	if left, ok := v.flow.left(); ok {
		line.SecondsLeft = seconds(left)
	}
	return line
}

// name is the canonical form of a reference; empty for none.
func name(r reference.Reference) string {
	if r.IsZero() {
		return ""
	}
	return r.String()
}

func seconds(d time.Duration) *float64 {
	s := d.Round(time.Millisecond).Seconds()
	return &s
}

// Aside writes lines of [report.Event] where no progress is shown: before it and after it, and for commands that have
// none, so that a reader finds nothing else on stderr. Each has the schema in it.
type Aside struct{ Out io.Writer }

// Error writes why the command failed.
func (a Aside) Error(p *report.Problem) { a.write(report.Event{Event: "error", Error: p}) }

// Warning writes something that stops nothing.
func (a Aside) Warning(text string) {
	a.write(report.Event{Event: "warning", Text: report.Shorten(text)})
}

// Paused writes that a pause begins or is over.
func (a Aside) Paused(p Pause) { a.write(p.event(time.Now())) }

// Write passes lines of a log on.
func (a Aside) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		a.write(report.Event{Event: "log", Text: string(bytes.TrimRight(line, "\r\n"))})
	}
	return len(text), nil
}

var _ io.Writer = Aside{}

// write writes a line. A stderr that has gone away cannot be reported anywhere.
func (a Aside) write(line report.Event) {
	line.Schema = report.EventSchema
	_ = writeEvent(a.Out, time.Now(), line)
}
