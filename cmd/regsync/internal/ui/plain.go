package ui

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/cmd/regsync/internal/ui/internal/meter"
	"github.com/regsync/regsync/pkg/transfer"
)

// heartbeat is how often a plain log says that the run is alive.
const heartbeat = 30 * time.Second

// plain writes a log: one line for each image that was copied, for retries and pauses, and for what concerns the whole run.
// Every line begins with its time (RFC 3339, with the offset of local time) and has no control characters. Failures are
// left to the caller, which prints each cause once. Verbose adds unchanged images, and the steps of each blob.
type plain struct {
	out *bytes.Buffer
	Options
	flow     *flow
	warnings *warnings
	opened   map[string]bool // the lines of [Style.opening] that were written
	beat     time.Time       // of the last line
}

var _ view = (*plain)(nil)

func newPlain(out *bytes.Buffer, options Options) *plain {
	return &plain{
		out: out, Options: options, flow: newFlow(options.Images), warnings: &warnings{told: options.Report}, opened: map[string]bool{},
	}
}

func (p *plain) say(at time.Time, text string) {
	p.beat = at
	p.out.WriteString(at.Format(time.RFC3339) + " " + text + "\n")
}

func (p *plain) sayf(at time.Time, format string, args ...any) {
	p.say(at, fmt.Sprintf(format, args...))
}

func (p *plain) note(at time.Time, line string) { p.say(at, safe.Clean(line)) }

func (p *plain) paused(at time.Time, pause Pause) {
	switch {
	case !pause.over():
		p.say(at, pause.Line(at))
	case p.Verbose:
		p.say(at, safe.Clean(pause.Registry)+" accepts requests again")
	}
}

func (p *plain) observe(at time.Time, e transfer.Event) {
	blob, to := p.flow.observe(at, e)
	switch e := e.(type) {
	case transfer.Planned:
		p.planned(at, e.Plan)
	case transfer.BlobRetrying:
		p.sayf(at, "%s: %s (attempt %d)", p.place(e), newRetry(at, e).text(at), e.Attempt)
	case transfer.BlobDone:
		p.blob(at, e, blob)
	case transfer.ManifestPushed:
		if p.Verbose {
			p.sayf(at, "%s: manifest in %s", ShortID(e.Descriptor.Digest), safe.Clean(e.Destination.FamiliarName()))
		}
	case transfer.Warned:
		for _, line := range p.warnings.observe(e) {
			p.say(at, line)
		}
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
		if p.Verbose && to.Err == nil && len(to.Blobs) > 0 {
			p.sayf(at, "planned %s: %s, up to %s", Between(plan.Job.Source, to.Reference), counted(len(to.Blobs), "blob"), HumanSize(to.Bytes()))
		}
	}
}

func (p *plain) blob(at time.Time, e transfer.BlobDone, was *moving) {
	id, place := ShortID(e.Descriptor.Digest), safe.Clean(e.Destination.FamiliarName())
	switch {
	case p.Style != Copying && isLayer(e.Descriptor):
		p.sayf(at, "%s: %s%s", id, p.Style.words().outcome(e), effort(at, e, was))
	case p.Style != Copying || !p.Verbose:
	case e.Outcome == transfer.BlobSent:
		p.sayf(at, "%s: sent to %s%s", id, place, effort(at, e, was))
	case e.Outcome == transfer.BlobMounted:
		p.sayf(at, "%s: mounted in %s from %s", id, place, safe.Clean(e.From))
	case e.Outcome == transfer.BlobOmitted:
		p.sayf(at, "%s: foreign layer left out of %s", id, place)
	case e.Outcome == transfer.BlobExists:
		p.sayf(at, "%s: already in %s", id, place)
	default:
		p.sayf(at, "%s: %s", id, p.Style.words().outcome(e))
	}
}

// place names a blob: "dc383e6cb34a", and where many images are copied, "dc383e6cb34a in harbor.corp/hub/nginx".
func (p *plain) place(e transfer.BlobRetrying) string {
	if p.Style != Copying {
		return ShortID(e.Descriptor.Digest)
	}
	return ShortID(e.Descriptor.Digest) + " in " + safe.Clean(e.Destination.FamiliarName())
}

// effort returns what sending a blob took: " (40MB in 3.2s, 12.5MB/s)", or " (40MB in 3.2s, 12.5MB/s; resumed at 60MB)".
func effort(at time.Time, e transfer.BlobDone, was *moving) string {
	switch {
	case e.Outcome != transfer.BlobSent:
		return ""
	case was == nil:
		return " (" + HumanSize(e.Descriptor.Size) + ")"
	}
	span := at.Sub(was.since)
	text := " (" + HumanSize(was.progress.Total) + " in " + elapsed(span)
	if span >= meter.Every {
		text += ", " + rate(float64(was.progress.Total)/span.Seconds())
	}
	return text + resumed("; ", was.progress) + ")"
}

// resumed says where an earlier run has left a blob: "resumed at 60MB"; empty if there was none.
func resumed(separator string, p *transfer.Progress) string {
	if p.Resumed == 0 {
		return ""
	}
	return separator + "resumed at " + HumanSize(p.Resumed)
}

func (p *plain) destination(at time.Time, e transfer.DestinationDone, was *arriving) {
	if p.Style != Copying || e.Result.Err != nil || !p.Verbose && !eventful(e.Result) {
		return // push and pull print a result of their own at the end
	}
	text := outcome(e.Job, e.Result, false)
	if was != nil {
		text += was.effort(at)
	}
	p.say(at, text)
}

// effort returns what the copy of an image to a destination took: " (40MB sent in 3.2s; shared layers: 12MB)".
func (a *arriving) effort(at time.Time) string {
	var parts []string
	if a.sent > 0 && !a.since.IsZero() {
		parts = append(parts, HumanSize(a.sent)+" sent in "+elapsed(at.Sub(a.since)))
	}
	if a.shared > 0 {
		parts = append(parts, "shared layers: "+HumanSize(a.shared))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

func (p *plain) draw(now time.Time) {
	p.flow.measure(now)
	if p.beat.IsZero() {
		p.beat = now
	}
	if now.Sub(p.beat) >= heartbeat {
		p.say(now, p.flow.summary(math.MaxInt))
	}
}

func (p *plain) end(now time.Time) {
	for _, m := range p.flow.movingBlobs() {
		if p.Style != Copying && isLayer(m.descriptor) {
			p.sayf(now, "%s: %s", ShortID(m.descriptor.Digest), canceled)
		}
	}
	for _, line := range p.warnings.lines() {
		p.say(now, line)
	}
}
