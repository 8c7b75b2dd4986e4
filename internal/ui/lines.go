package ui

import (
	"bytes"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// EventSchema names the format of --progress json, which is kept: fields and events are
// added, never changed or removed. A reader passes over those that it does not know.
//
// Every line is one document with the fields "time" (RFC 3339, UTC, milliseconds) and
// "event"; the others depend on the event:
//
//	start             schema: the first line of the progress
//	planned           entry, source, digest, destinations[]{destination, action, previous, blobs, bytes,
//	                  referrers, reason, error}: for each destination of an image when it is known what
//	                  that one needs, and once more where it is tried again
//	blob-started      destination, digest, mediaType, size
//	blob-retrying     destination, digest, attempt, waitSeconds, error
//	blob-done         destination, digest, size, outcome (exists|mounted|sent|omitted|failed), from, error
//	manifest-pushed   destination, digest, mediaType, size, tag
//	warning           source, text
//	destination-done  entry, source, destination, action (add|move|unchanged|skip|none), status
//	                  (copied|unchanged|skipped|deferred|failed), digest, previous, referrers,
//	                  reason (why it was skipped or deferred, or why nobody
//	                  was asked), error
//	job-done          entry, source, digest, failed, seconds
//	progress          images{done, total}, bytes{done, total, sent, perSecond}, secondsLeft: at most one a second
//	pause             registry, waitSeconds, code (the HTTP status): the registry accepts no requests of some kind for
//	                  waitSeconds, and the run waits; repeated if the pause becomes longer
//	pause-over        registry
//	log               text: a line of the log, with --verbose
//	end               images, bytes: as in progress; nothing but errors comes after it
//	error             error: why the command failed, once for each independent cause
//
// A command without progress has neither start nor end; see [Aside].
//
// Sizes are bytes, and bytes{total} is "at most": what can be mounted or is there is not
// sent. A field without a value is left out. An error is a [Problem].
const EventSchema = "regsync.event/v1"

// progressEvery is the time between two events "progress".
const progressEvery = time.Second

// eventLine is a line of [EventSchema].
type eventLine struct {
	Time         string         `json:"time"`
	Event        string         `json:"event"`
	Schema       string         `json:"schema,omitempty"`
	Entry        string         `json:"entry,omitempty"`
	Source       string         `json:"source,omitempty"`
	Destination  string         `json:"destination,omitempty"`
	Destinations []plannedPlace `json:"destinations,omitempty"`
	Action       string         `json:"action,omitempty"`
	Status       Status         `json:"status,omitempty"`
	Outcome      string         `json:"outcome,omitempty"`
	From         string         `json:"from,omitempty"`
	Digest       string         `json:"digest,omitempty"`
	Previous     string         `json:"previous,omitempty"`
	MediaType    string         `json:"mediaType,omitempty"`
	Size         *int64         `json:"size,omitempty"`
	Tag          string         `json:"tag,omitempty"`
	Referrers    int            `json:"referrers,omitempty"`
	Reason       string         `json:"reason,omitempty"`
	Attempt      int            `json:"attempt,omitempty"`
	WaitSeconds  *float64       `json:"waitSeconds,omitempty"`
	Registry     string         `json:"registry,omitempty"`
	Code         int            `json:"code,omitempty"`
	Failed       bool           `json:"failed,omitempty"`
	Seconds      *float64       `json:"seconds,omitempty"`
	Images       *imageProgress `json:"images,omitempty"`
	Bytes        *byteProgress  `json:"bytes,omitempty"`
	SecondsLeft  *float64       `json:"secondsLeft,omitempty"`
	Text         string         `json:"text,omitempty"`
	Error        *Problem       `json:"error,omitempty"`
}

type plannedPlace struct {
	Destination string   `json:"destination"`
	Action      string   `json:"action"`
	Previous    string   `json:"previous,omitempty"`
	Blobs       int      `json:"blobs"`
	Bytes       int64    `json:"bytes"`
	Referrers   int      `json:"referrers,omitempty"`
	Reason      string   `json:"reason,omitempty"`
	Error       *Problem `json:"error,omitempty"`
}

type imageProgress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

type byteProgress struct {
	Done      int64 `json:"done"`
	Total     int64 `json:"total"`
	Sent      int64 `json:"sent"`
	PerSecond int64 `json:"perSecond"`
}

// lines writes events as JSON.
type lines struct {
	hints Hints
	tally *tally
	out   bytes.Buffer
	told  time.Time
	last  byteProgress
}

var _ view = (*lines)(nil)

func newLines(at time.Time, options Options) *lines {
	l := &lines{hints: options.Hints, tally: newTally(options.Images)}
	l.say(at, eventLine{Event: "start", Schema: EventSchema})
	return l
}

func (l *lines) say(at time.Time, line eventLine) {
	_ = line.write(&l.out, at) // into memory
}

func (line eventLine) write(w io.Writer, at time.Time) error {
	line.Time = at.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return encodeJSON(w, line, "")
}

func (l *lines) note(at time.Time, line string) {
	l.say(at, eventLine{Event: "log", Text: Clean(line)})
}

func (l *lines) paused(at time.Time, p Pause) { l.say(at, p.event(at)) }

func (l *lines) observe(at time.Time, e transfer.Event) {
	switch e := e.(type) {
	case transfer.Planned:
		l.tally.plan(at, e.Plan)
		l.say(at, l.planned(e.Plan))
	case transfer.BlobStarted:
		l.tally.start(at, e)
		line := blobLine("blob-started", e.Destination, e.Descriptor.Digest, &e.Descriptor.Size)
		line.MediaType = Clean(e.Descriptor.MediaType)
		l.say(at, line)
	case transfer.BlobRetrying:
		l.tally.retry(at, e)
		line := blobLine("blob-retrying", e.Destination, e.Descriptor.Digest, nil)
		line.Attempt, line.WaitSeconds, line.Error = e.Attempt, seconds(e.Wait), NewProblem(e.Err, l.hints)
		l.say(at, line)
	case transfer.BlobDone:
		l.tally.blob(e)
		line := blobLine("blob-done", e.Destination, e.Descriptor.Digest, &e.Descriptor.Size)
		line.Outcome, line.From, line.Error = string(e.Outcome), Clean(e.From), NewProblem(e.Err, l.hints)
		l.say(at, line)
	case transfer.ManifestPushed:
		line := blobLine("manifest-pushed", e.Destination, e.Descriptor.Digest, &e.Descriptor.Size)
		line.MediaType, line.Tag = Clean(e.Descriptor.MediaType), Clean(e.Tag)
		l.say(at, line)
	case transfer.Warned:
		l.say(at, eventLine{Event: "warning", Source: name(e.Source), Text: warningText(e.Warning)})
	case transfer.DestinationDone:
		l.tally.destination(e.Result)
		l.say(at, l.destination(e.Job, e.Result))
	case transfer.JobDone:
		l.tally.job(e.Result)
		l.say(at, eventLine{
			Event: "job-done", Entry: Clean(e.Result.Job.Entry), Source: name(e.Result.Job.Source),
			Digest: Clean(e.Result.Digest.String()), Failed: e.Result.Failed(), Seconds: seconds(e.Result.Elapsed),
		})
	}
}

func blobLine(event string, destination reference.Reference, d digest.Digest, size *int64) eventLine {
	return eventLine{Event: event, Destination: name(destination), Digest: Clean(d.String()), Size: size}
}

func (l *lines) planned(p *transfer.Plan) eventLine {
	line := eventLine{
		Event: "planned", Entry: Clean(p.Job.Entry), Source: name(p.Job.Source), Digest: Clean(p.Image.Digest.String()),
	}
	for _, to := range p.Destinations {
		line.Destinations = append(line.Destinations, plannedPlace{
			Destination: name(to.Reference), Action: string(to.Action), Previous: Clean(to.Previous.String()),
			Blobs: len(to.Blobs), Bytes: to.Bytes(), Referrers: to.Referrers, Reason: ruleText(to.Rule),
			Error: NewProblem(to.Err, l.hints),
		})
	}
	return line
}

func (l *lines) destination(job transfer.Job, r transfer.DestinationResult) eventLine {
	return eventLine{
		Event: "destination-done", Entry: Clean(job.Entry), Source: name(job.Source), Destination: name(r.Reference),
		Action: string(r.Action), Status: statusOf(r), Digest: Clean(r.Digest.String()), Previous: Clean(r.Previous.String()),
		Referrers: r.Referrers, Reason: reasonOf(r), Error: NewProblem(r.Err, l.hints),
	}
}

func (l *lines) draw(now time.Time) []byte {
	l.tally.measure(now)
	if l.told.IsZero() {
		l.told = now
	}
	if now.Sub(l.told) >= progressEvery {
		l.told = now
		if line := l.progress("progress"); *line.Bytes != l.last {
			l.last = *line.Bytes
			l.say(now, line)
		}
	}
	return l.take()
}

func (l *lines) end(now time.Time) []byte {
	l.tally.measure(now)
	l.say(now, l.progress("end"))
	return l.take()
}

func (l *lines) take() []byte {
	taken := bytes.Clone(l.out.Bytes())
	l.out.Reset()
	return taken
}

func (l *lines) progress(event string) eventLine {
	images, total := l.tally.total()
	line := eventLine{
		Event:  event,
		Images: &imageProgress{Done: l.tally.ended, Total: images},
		Bytes: &byteProgress{
			Done: l.tally.done(), Total: total, Sent: l.tally.sentSoFar(), PerSecond: int64(l.tally.sending.speed),
		},
	}
	if left, ok := l.tally.left(); ok {
		line.SecondsLeft = seconds(left)
	}
	return line
}

// name is a reference as documents tell it: canonical.
func name(r reference.Reference) string {
	if r == (reference.Reference{}) {
		return ""
	}
	return Clean(r.String())
}

func seconds(d time.Duration) *float64 {
	s := d.Round(time.Millisecond).Seconds()
	return &s
}
