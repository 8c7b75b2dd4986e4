package ui

import (
	"cmp"
	"io"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/transfer"
)

// ReportSchema names the format of a report as JSON, which is kept: fields are added, never
// changed or removed. SyncSchema is the same as the result of the command sync.
const (
	ReportSchema = "regsync.report/v1"
	SyncSchema   = "regsync.sync/v1"
)

// Report is what became of a run. Make it with [NewReport], add what ends, and finish it
// before it is written.
type Report struct {
	Schema string       `json:"schema"`
	Run    ReportRun    `json:"run"`
	Counts ReportCounts `json:"counts"`
	// NotBegun is what an early end of the run has left out; nil where nothing was.
	NotBegun *ReportRest `json:"notBegun,omitempty"`
	Bytes    ReportBytes `json:"bytes"`
	// Requests is the number of HTTP requests to each registry.
	Requests map[string]int64 `json:"requests"`
	// LimitedBy is what the run waited for most: "source bandwidth", "destination bandwidth", or a limit at a registry,
	// "harbor.corp: 429"; empty if it waited for nothing in particular.
	LimitedBy string `json:"limitedBy,omitempty"`
	// Items are the images, in the order of the entries and by source.
	Items []ReportItem `json:"items"`

	options ReportOptions
	images  distinct
}

// ReportOptions say what goes into a report. The zero value works.
type ReportOptions struct {
	// Hints gives the next steps; nil gives none.
	Hints Hints
	// Entries are the names of the entries in their order. Others follow, by name.
	Entries []string
	// Changes keeps no item of an image that is right already, unless there is a word to say
	// about it: it is counted only. This is enough for [Report.WriteText], and the report of
	// a run that has nothing to do stays small.
	Changes bool
}

// ReportRun says which run it was. Ended is Started and the time that has passed, whatever
// became of the clock meanwhile.
type ReportRun struct {
	ID       string    `json:"id"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	ExitCode int       `json:"exitCode"`
}

// ReportCounts counts destinations by their status. Tags is their sum; Images is the number
// of different images that are at a destination under their tags now.
type ReportCounts struct {
	Tags      int `json:"tags"`
	Images    int `json:"images"`
	Copied    int `json:"copied"`
	Unchanged int `json:"unchanged"`
	// NotAsked is the part of Unchanged that was copied before and is immutable.
	NotAsked int `json:"notAsked"`
	// Trusted is the part of Unchanged that was not asked for at the destination, because verify is sampled.
	Trusted  int `json:"trusted,omitempty"`
	Skipped  int `json:"skipped"`
	Deferred int `json:"deferred"`
	Failed   int `json:"failed"`
	// Referrers are the signatures and other referrers that were put, whatever became of the
	// tag.
	Referrers int `json:"referrers"`
	// Refused are the referrers that were left out because their destination does not accept them.
	Refused int `json:"referrersNotAccepted,omitempty"`
}

// ReportRest counts tags that were known and not begun, and the entries they are of.
type ReportRest struct {
	Tags    int `json:"tags"`
	Entries int `json:"entries"`
	// Unlisted means that there may be more: some repositories had not been listed.
	Unlisted bool `json:"unlisted,omitempty"`
}

// ReportBytes are bytes of blobs. Mounted and Skipped needed no sending; Reread and Resent are the parts
// of Read and Sent that were read or sent to a repository more than once.
type ReportBytes struct {
	Read    int64 `json:"read"`
	Reread  int64 `json:"reread,omitempty"`
	Sent    int64 `json:"sent"`
	Resent  int64 `json:"resent,omitempty"`
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

	familiar string // the source as people call it, where there is a warning of it
}

// ReportDestination is one place of an image.
type ReportDestination struct {
	Ref      string          `json:"ref"`
	Digest   string          `json:"digest,omitempty"`
	Previous string          `json:"previous,omitempty"`
	Action   transfer.Action `json:"action"`
	Status   Status          `json:"status"`
	// Reason says why it was skipped or deferred, or why nobody was asked.
	Reason    string `json:"reason,omitempty"`
	Referrers int    `json:"referrers,omitempty"`
	// Refused are the referrers that were left out because the destination does not accept them.
	Refused int      `json:"referrersNotAccepted,omitempty"`
	Error   *Problem `json:"error,omitempty"`

	between string // [Between], where there is something to tell
	rule    transfer.Rule
}

// NewReport begins the report of a run.
func NewReport(id string, started time.Time, options ReportOptions) *Report {
	return &Report{
		Schema: ReportSchema, Run: ReportRun{ID: id, Started: started},
		Items: []ReportItem{}, options: options,
	}
}

// Add takes the result of one image, as [transfer.Engine.Run] hands it out: one at a time.
func (r *Report) Add(result *transfer.Result) {
	worthy := len(result.Warnings) > 0
	for _, d := range result.Destinations {
		r.count(d)
		worthy = worthy || telling(d)
	}
	if !worthy && r.options.Changes {
		return
	}
	item := ReportItem{
		Entry: Clean(result.Job.Entry), Source: name(result.Job.Source),
		Destinations: make([]ReportDestination, 0, len(result.Destinations)),
		Seconds:      *seconds(result.Elapsed),
	}
	for _, w := range result.Warnings {
		item.familiar = Clean(result.Job.Source.Familiar())
		item.Warnings = append(item.Warnings, warningText(w))
	}
	for _, d := range result.Destinations {
		if telling(d) || !r.options.Changes {
			item.Destinations = append(item.Destinations, r.destination(result.Job, d))
		}
	}
	r.Items = append(r.Items, item)
}

// telling reports whether there is a word to say about how a destination ended.
func telling(d transfer.DestinationResult) bool {
	return statusOf(d) != StatusUnchanged || d.Referrers > 0
}

func (r *Report) count(d transfer.DestinationResult) {
	c := &r.Counts
	c.Tags++
	c.Referrers += d.Referrers
	c.Refused += d.Refused
	switch statusOf(d) {
	case StatusCopied:
		c.Copied++
	case StatusUnchanged:
		c.Unchanged++
		switch d.Rule.Kind {
		case transfer.RuleCopied:
			c.NotAsked++
		case transfer.RuleSeen:
			c.Trusted++
		}
	case StatusSkipped:
		c.Skipped++
		return
	case StatusDeferred:
		c.Deferred++
	case StatusFailed:
		c.Failed++
	}
	if d.Digest != "" && r.images.add(d.Digest) {
		c.Images++
	}
}

func (r *Report) destination(job transfer.Job, d transfer.DestinationResult) ReportDestination {
	to := ReportDestination{
		Ref: name(d.Reference), Digest: Clean(d.Digest.String()), Previous: Clean(d.Previous.String()),
		Action: d.Action, Status: statusOf(d), Reason: reasonOf(d), Referrers: d.Referrers, Refused: d.Refused,
		Error: problemOf(d, r.options.Hints),
	}
	if telling(d) {
		to.between, to.rule = Between(job.Source, d.Reference), d.Rule
	}
	return to
}

// Finish completes the report. The counters are those of the engine; requests may be nil.
func (r *Report) Finish(ended time.Time, exitCode int, counters *transfer.Counters, requests map[string]int64) {
	// Sub takes the monotonic clock, and Add leaves out that the other one was set.
	r.Run.Ended, r.Run.ExitCode = r.Run.Started.Add(ended.Sub(r.Run.Started)), exitCode
	r.Bytes = ReportBytes{
		Read: counters.Read.Load(), Reread: counters.Reread.Load(), Sent: counters.Sent.Load(), Resent: counters.Resent.Load(),
		Mounted: counters.Mounted.Load(), Skipped: counters.Skipped.Load(),
	}
	if r.Requests = requests; requests == nil {
		r.Requests = map[string]int64{}
	}
	rank := r.ranks()
	slices.SortStableFunc(r.Items, func(a, b ReportItem) int {
		return cmp.Or(cmp.Compare(rank(a.Entry), rank(b.Entry)), cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.Source, b.Source))
	})
}

// ranks gives the place of an entry in the configuration's order.
func (r *Report) ranks() func(entry string) int {
	places := map[string]int{}
	for i, name := range r.options.Entries {
		if _, known := places[Clean(name)]; !known {
			places[Clean(name)] = i
		}
	}
	return func(entry string) int {
		if place, known := places[entry]; known {
			return place
		}
		return len(r.options.Entries)
	}
}

// WriteJSON writes the report as one indented document of ReportSchema.
func (r *Report) WriteJSON(w io.Writer) error { return WriteJSON(w, r) }

// WriteResult writes the same document as the result of a command, by that one's schema.
func (r *Report) WriteResult(w io.Writer, schema string) error {
	result := *r
	result.Schema = schema
	return WriteJSON(w, &result)
}
