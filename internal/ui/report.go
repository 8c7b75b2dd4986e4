package ui

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer"
)

// ReportSchema names the format of a report as JSON, which is kept: fields are added, never
// changed or removed.
const ReportSchema = "regsync.report/v1"

// Report is what became of a run. Make it with [NewReport], add what ends, and finish it
// before it is written.
type Report struct {
	Schema string       `json:"schema"`
	Run    ReportRun    `json:"run"`
	Counts ReportCounts `json:"counts"`
	Bytes  ReportBytes  `json:"bytes"`
	// Requests is the number of HTTP requests to each registry; nil if nobody counted.
	Requests map[string]int64 `json:"requests,omitempty"`
	// Items are the images, ordered by entry and source.
	Items []ReportItem `json:"items"`

	hints   Hints
	digests map[digest.Digest]bool
}

// ReportRun says which run it was.
type ReportRun struct {
	ID       string    `json:"id"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	ExitCode int       `json:"exitCode"`
}

// ReportCounts counts destinations by their status. Tags is their sum; Images is the number
// of different images among those that are right now.
type ReportCounts struct {
	Tags      int `json:"tags"`
	Images    int `json:"images"`
	Copied    int `json:"copied"`
	Unchanged int `json:"unchanged"`
	Skipped   int `json:"skipped"`
	Deferred  int `json:"deferred"`
	Failed    int `json:"failed"`
}

// ReportBytes are bytes of blobs. Mounted and Skipped needed no sending; Reread is the part
// of Read that was read more than once.
type ReportBytes struct {
	Read    int64 `json:"read"`
	Reread  int64 `json:"reread,omitempty"`
	Sent    int64 `json:"sent"`
	Mounted int64 `json:"mounted"`
	Skipped int64 `json:"skipped"`
}

// ReportItem is one image.
type ReportItem struct {
	Entry        string              `json:"entry,omitempty"`
	Source       string              `json:"source"`
	Destinations []ReportDestination `json:"destinations"`
	Warnings     []string            `json:"warnings,omitempty"`
	// Seconds is how long it took, the waiting included.
	Seconds float64 `json:"seconds"`

	familiar string
}

// ReportDestination is one place of an image.
type ReportDestination struct {
	Ref      string          `json:"ref"`
	Digest   string          `json:"digest,omitempty"`
	Previous string          `json:"previous,omitempty"`
	Action   transfer.Action `json:"action"`
	Status   Status          `json:"status"`
	// Reason says why it was skipped or deferred.
	Reason    string   `json:"reason,omitempty"`
	Referrers int      `json:"referrers,omitempty"`
	Error     *Problem `json:"error,omitempty"`

	// line tells of it in text; empty where there is nothing to tell.
	line string
}

// NewReport begins the report of a run. hints may be nil.
func NewReport(id string, started time.Time, hints Hints) *Report {
	return &Report{
		Schema: ReportSchema, Run: ReportRun{ID: id, Started: started},
		Items: []ReportItem{}, hints: hints, digests: map[digest.Digest]bool{},
	}
}

// Add takes the result of one image, as [transfer.Engine.Run] hands it out: one at a time.
func (r *Report) Add(result *transfer.Result) {
	item := ReportItem{
		Entry: Clean(result.Job.Entry), Source: name(result.Job.Source),
		Destinations: make([]ReportDestination, 0, len(result.Destinations)),
		Seconds:      *seconds(result.Elapsed),
		familiar:     Clean(result.Job.Source.Familiar()),
	}
	for _, text := range result.Warnings {
		item.Warnings = append(item.Warnings, Clean(text))
	}
	for _, d := range result.Destinations {
		r.count(d)
		item.Destinations = append(item.Destinations, r.destination(result.Job, d))
	}
	r.Items = append(r.Items, item)
}

func (r *Report) count(d transfer.DestinationResult) {
	c := &r.Counts
	c.Tags++
	switch statusOf(d) {
	case StatusCopied:
		c.Copied++
	case StatusUnchanged:
		c.Unchanged++
	case StatusSkipped:
		c.Skipped++
	case StatusDeferred:
		c.Deferred++
	case StatusFailed:
		c.Failed++
	}
	if d.Err == nil && d.Digest != "" && !r.digests[d.Digest] {
		r.digests[d.Digest] = true
		c.Images++
	}
}

func (r *Report) destination(job transfer.Job, d transfer.DestinationResult) ReportDestination {
	to := ReportDestination{
		Ref: name(d.Reference), Digest: Clean(d.Digest.String()), Previous: Clean(d.Previous.String()),
		Action: d.Action, Status: statusOf(d), Referrers: d.Referrers,
	}
	switch to.Status {
	case StatusDeferred:
		to.Reason = "interrupted"
	case StatusFailed:
		to.Error = NewProblem(d.Err, r.hints)
		to.line = verb(d) + " " + Between(job.Source, d.Reference)
	case StatusCopied:
		to.line = outcome(job, d, false)
	case StatusUnchanged:
		if d.Referrers > 0 {
			to.line = outcome(job, d, false)
		}
	}
	return to
}

// Finish completes the report. The counters are those of the engine; requests may be nil.
func (r *Report) Finish(ended time.Time, exitCode int, counters *transfer.Counters, requests map[string]int64) {
	r.Run.Ended, r.Run.ExitCode = ended, exitCode
	r.Bytes = ReportBytes{
		Read: counters.Read.Load(), Reread: counters.Reread.Load(), Sent: counters.Sent.Load(),
		Mounted: counters.Mounted.Load(), Skipped: counters.Skipped.Load(),
	}
	r.Requests = requests
	slices.SortStableFunc(r.Items, func(a, b ReportItem) int {
		return cmp.Or(cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.Source, b.Source))
	})
}

// WriteJSON writes the report as one indented document.
func (r *Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}
