package ui

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// heartbeat is how often a plain log says that the run is alive.
const heartbeat = 30 * time.Second

// plain writes one line for a finished step, for logs. Every line begins with its time (RFC 3339, with the offset of local
// time) and has no control characters. Tags that needed nothing have no line unless verbose: the few that changed
// would be hard to find among thousands.
type plain struct {
	out *bytes.Buffer
	Options
	flow   *flow
	opened map[string]bool // the lines of [Style.opening] that were written
	beat   time.Time       // of the last line
}

var _ view = (*plain)(nil)

func newPlain(out *bytes.Buffer, options Options) *plain {
	return &plain{out: out, Options: options, flow: newFlow(options.Images), opened: map[string]bool{}}
}

func (p *plain) say(at time.Time, text string) {
	p.beat = at
	p.out.WriteString(at.Format(time.RFC3339) + " " + text + "\n")
}

func (p *plain) sayf(at time.Time, format string, args ...any) {
	p.say(at, fmt.Sprintf(format, args...))
}

func (p *plain) note(at time.Time, line string) { p.say(at, Clean(line)) }

func (p *plain) paused(at time.Time, pause Pause) {
	switch {
	case !pause.over():
		p.say(at, pause.Line(at))
	case p.Verbose:
		p.say(at, Clean(pause.Registry)+" accepts requests again")
	}
}

func (p *plain) observe(at time.Time, e transfer.Event) {
	blob, to := p.flow.observe(at, e)
	switch e := e.(type) {
	case transfer.Planned:
		p.planned(at, e.Plan)
	case transfer.BlobRetrying:
		p.sayf(at, "%s: %s (attempt %d failed: %s)", ShortID(e.Descriptor.Digest), retrying(e.Wait), e.Attempt, Message(e.Err.Error()))
	case transfer.BlobDone:
		p.blob(at, e, blob)
	case transfer.ManifestPushed:
		if p.Verbose {
			p.sayf(at, "%s: manifest in %s", ShortID(e.Descriptor.Digest), Clean(e.Destination.FamiliarName()))
		}
	case transfer.Warned:
		p.say(at, warnedLine(e, false))
	case transfer.DestinationDone:
		p.destination(at, e, to)
	}
}

func (p *plain) planned(at time.Time, plan *transfer.Plan) {
	if p.Style != Copying {
		for _, line := range p.Style.opening(plan, p.opened) {
			p.say(at, line)
		}
		return
	}
	for _, to := range plan.Destinations {
		if to.Err == nil && len(to.Blobs) > 0 {
			p.sayf(at, "planned %s: %s, at most %s", Between(plan.Job.Source, to.Reference),
				counted(len(to.Blobs), "blob"), HumanSize(to.Bytes()))
		}
	}
}

func (p *plain) blob(at time.Time, e transfer.BlobDone, was *moving) {
	id, place := ShortID(e.Descriptor.Digest), Clean(e.Destination.FamiliarName())
	if p.Style != Copying {
		if isLayer(e.Descriptor) {
			p.sayf(at, "%s: %s%s", id, p.Style.words().outcome(e), effort(at, e, was))
		}
		return
	}
	switch e.Outcome {
	case transfer.BlobSent:
		p.sayf(at, "%s: sent to %s%s", id, place, effort(at, e, was))
	case transfer.BlobMounted:
		p.sayf(at, "%s: mounted in %s from %s", id, place, Clean(e.From))
	case transfer.BlobOmitted:
		p.sayf(at, "%s: foreign layer left out of %s", id, place)
	case transfer.BlobExists:
		if p.Verbose {
			p.sayf(at, "%s: already in %s", id, place)
		}
	}
}

// effort returns what sending a blob took: " (40MB in 3.2s, 12.5MB/s)".
func effort(at time.Time, e transfer.BlobDone, was *moving) string {
	switch {
	case e.Outcome != transfer.BlobSent:
		return ""
	case was == nil:
		return " (" + HumanSize(e.Descriptor.Size) + ")"
	}
	span := at.Sub(was.since)
	text := " (" + HumanSize(e.Descriptor.Size) + " in " + elapsed(span)
	if span >= meterEvery {
		text += ", " + rate(float64(e.Descriptor.Size)/span.Seconds())
	}
	return text + ")"
}

func (p *plain) destination(at time.Time, e transfer.DestinationDone, was *arriving) {
	quiet := !eventful(e.Result)
	if p.Style != Copying || quiet && !p.Verbose || p.Failures && e.Result.Err != nil {
		return // push and pull print a result of their own at the end
	}
	text := outcome(e.Job, e.Result, false)
	if e.Result.Err == nil && was != nil {
		text += was.summary(at)
	}
	p.say(at, text)
}

// summary returns how the blobs of a destination arrived: " (2 sent, 40MB, 1 already present; 3.2s)".
func (a *arriving) summary(at time.Time) string {
	parts := counts(
		count{a.sent, "sent, " + HumanSize(a.sentBytes)}, count{a.mounted, "mounted"}, count{a.exists, "already present"},
	)
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + "; " + elapsed(at.Sub(a.since)) + ")"
}

func (p *plain) draw(now time.Time) {
	p.flow.measure(now)
	if p.beat.IsZero() {
		p.beat = now
	}
	if now.Sub(p.beat) >= heartbeat {
		p.say(now, p.flow.summary())
	}
}

func (p *plain) end(time.Time) {}

// summary returns how far a run is: "3/10 images, 120MB/400MB, 25MB/s, 12s left".
func (f *flow) summary() string {
	images, bytes := f.total()
	text := fmt.Sprintf("%d/%d images", f.ended, images)
	if bytes > 0 {
		about := ""
		if f.estimated() {
			about = "~"
		}
		text += fmt.Sprintf(", %s/%s%s", ImageSize(f.done()), about, ImageSize(bytes))
	}
	if f.sending.speed >= 1 {
		text += ", " + rate(f.sending.speed)
	}
	if left, ok := f.left(); ok {
		text += ", " + clock(left) + " left"
	}
	if failed := f.counts.Counts.Failed; failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	return text
}
