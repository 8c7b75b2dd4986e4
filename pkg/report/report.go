// Package report describes what a run did, or would do, as data: the JSON documents of plan, diff, sync, copy, push and
// pull, what an earlier run has left undone, and why a tag is copied or not.
//
// Start at [Report]: it takes the results of [transfer.Engine.Run] or the plans of [transfer.Engine.Plan] and counts
// them in its [Tally], each failure once. The documents have the schema docs/report.schema.json; package ui of the
// command puts them into words.
package report

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Schema names the format of a report as JSON. Within a version, fields are added, never changed or removed.
const Schema = "regsync.report/v2"

// Report is what became of a run, or what a run would do. Make it with [New], add what ends, one at a time, and finish
// it before it is written.
type Report struct {
	Schema string `json:"schema"`
	// Command is the command that made it: "sync", "diff", "plan", "copy", "push" or "pull". Those of diff and plan say
	// what a run would do.
	Command string `json:"command"`
	Run     Run    `json:"run"`
	Tally
	Bytes Bytes `json:"bytes"`
	// Requests is the number of HTTP requests to each registry.
	Requests map[string]int64 `json:"requests"`
	// LimitedBy is what the run waited for most: "source bandwidth", "destination bandwidth", or a limit at a registry,
	// "harbor.corp: 429"; empty if it waited for nothing in particular.
	LimitedBy string `json:"limitedBy,omitempty"`
	// Items are the images: those of a run in the order of the entries and by source, those of a plan in the order of the
	// configuration.
	Items []Item `json:"items"`
	// Error is why the command failed; nil if it did not.
	Error *Problem `json:"error,omitempty"`

	options Options
	planned map[blob]bool // blobs that are part of Bytes.Planned
}

// Options say what goes into a report. The zero value works.
type Options struct {
	// Hints gives the next steps; nil gives none.
	Hints Hints
	// Text puts a warning into words; nil leaves the texts empty.
	Text func(warning.Warning) string
	// Entries are the names of the entries in their order. Others follow.
	Entries []string
	// Changes keeps no item of an image that is up to date, unless there is something to say about it: it is counted
	// only, so that the report of a run that has nothing to do stays small.
	Changes bool
}

// Warnings are warnings as data, with their texts.
func (o Options) Warnings(warnings []warning.Warning) []Warning {
	var all []Warning
	for _, w := range warnings {
		data := Warning{Kind: w.Kind, Data: w}
		if o.Text != nil {
			data.Text = Shorten(o.Text(w))
		}
		all = append(all, data)
	}
	return all
}

// Run says which run it was. Ended is Started and the time that has passed, even if the clock was set meanwhile.
type Run struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	// ExitCode is that of the command.
	ExitCode int `json:"exitCode"`
}

// Bytes are bytes of blobs.
type Bytes struct {
	// Planned is the most that a plan would send: a blob counts once for each registry, and what can be mounted or is
	// already present is not sent.
	Planned int64 `json:"planned"`
	// Read and Sent include repeated bytes; Reread and Resent are the repeated part.
	Read   int64 `json:"read"`
	Reread int64 `json:"reread"`
	Sent   int64 `json:"sent"`
	Resent int64 `json:"resent"`
	// Mounted and Skipped bytes needed no sending.
	Mounted int64 `json:"mounted"`
	Skipped int64 `json:"skipped"`
}

// Item is one image.
type Item struct {
	Entry  string `json:"entry,omitempty"`
	Source string `json:"source"`
	// Destinations are all of its destinations, or those with something to report.
	Destinations []Destination `json:"destinations"`
	// Error is the failure of the source, which its destinations share.
	Error    *Problem  `json:"error,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`
	// Seconds is how long it took, with all waits; 0 in a plan.
	Seconds float64 `json:"seconds"`

	// Image is the reference that Source is the canonical form of.
	Image reference.Reference `json:"-"`
}

// Destination is an image at one destination.
type Destination struct {
	Ref    string          `json:"ref"`
	Status Status          `json:"status"`
	Action transfer.Action `json:"action"`
	// Digest is that of the tag now; in a plan, after the run.
	Digest string `json:"digest,omitempty"`
	// Previous is what the tag pointed at before.
	Previous string `json:"previous,omitempty"`
	// Blobs and Bytes are, in a plan, the most that must be sent or mounted.
	Blobs int    `json:"blobs,omitempty"`
	Bytes *Bytes `json:"bytes,omitempty"`
	// Rule is why it was skipped, or why a side was not checked.
	Rule        *Rule `json:"rule,omitempty"`
	Referrers   int   `json:"referrers,omitempty"`
	NotAccepted int   `json:"referrersNotAccepted,omitempty"`
	// WithoutAttestations: the index lost its attestations, because the destination does not accept them.
	WithoutAttestations bool `json:"withoutAttestations,omitempty"`
	// Error is why it failed or was deferred, unless the source failed: then the item has the error.
	Error *Problem `json:"error,omitempty"`

	// Reference is the reference that Ref is the canonical form of.
	Reference reference.Reference `json:"-"`
}

// Rule is why a destination was skipped, or was not checked.
type Rule struct {
	Kind transfer.RuleKind `json:"kind"`
	// Limit is the limit of the rule, in bytes, if it has one.
	Limit int64 `json:"limit,omitempty"`
	// Found is what the rule was applied to.
	Found *Found `json:"found,omitempty"`
}

// Found is what a [Rule] was applied to.
type Found struct {
	// Size is that of the image, in bytes.
	Size int64 `json:"size,omitempty"`
	// SourceCreated and DestinationCreated are when the images were created.
	SourceCreated      *time.Time `json:"sourceCreated,omitempty"`
	DestinationCreated *time.Time `json:"destinationCreated,omitempty"`
}

// Warning is something that the user should know, and that stops nothing.
type Warning struct {
	// Kind is that of a [warning.Warning]; empty for those that have only a text.
	Kind warning.Kind `json:"kind,omitempty"`
	Text string       `json:"text"`

	// Data is the warning itself.
	Data warning.Warning `json:"-"`
}

type blob struct{ registry, digest string }

// New begins the report of a command.
func New(command string, started time.Time, options Options) *Report {
	r := &Report{
		Schema: Schema, Command: command, Run: Run{ID: runID(started), Started: started},
		Requests: map[string]int64{}, Items: []Item{}, options: options, planned: map[blob]bool{},
	}
	for _, name := range options.Entries {
		r.entry(name)
	}
	return r
}

// runID names a run: when it began, in UTC, and a few random digits, so that two runs have different names even if the
// clock was set back.
func runID(started time.Time) string {
	var salt [3]byte
	_, _ = rand.Read(salt[:]) // never fails
	return started.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(salt[:])
}

// Add takes the result of one image.
func (r *Report) Add(result *transfer.Result) {
	r.Tally.Add(result)
	item := r.item(result.Job, result.Warnings)
	item.Seconds = result.Elapsed.Round(time.Millisecond).Seconds()
	for _, d := range result.Destinations {
		to := Destination{
			Ref: d.Reference.String(), Status: StatusOf(d), Action: d.Action, Digest: d.Digest.String(), Previous: d.Previous.String(),
			Rule: RuleOf(d.Rule), Referrers: d.Referrers, NotAccepted: d.Refused,
			WithoutAttestations: d.WithoutAttestations, Reference: d.Reference,
		}
		r.place(&item, to, d.Err)
	}
	r.keep(item)
}

// AddPlan takes what [transfer.Engine.Plan] yields: a plan, or the error of an image that could not be planned, with a
// plan that has only the job.
func (r *Report) AddPlan(plan *transfer.Plan, err error) {
	r.Tally.AddPlan(plan, err)
	item := r.item(plan.Job, plan.Warnings)
	for _, p := range planned(plan, err) {
		to := Destination{
			Ref: p.Reference.String(), Status: PlannedStatus(p), Action: p.Action, Digest: plan.Image.Digest.String(),
			Previous: p.Previous.String(), Blobs: len(p.Blobs), Rule: RuleOf(p.Rule), Referrers: p.Referrers, NotAccepted: p.Refused,
			Reference: p.Reference,
		}
		if len(p.Blobs) > 0 {
			to.Bytes = &Bytes{Planned: p.Bytes()}
			r.plan(p)
		}
		r.place(&item, to, p.Err)
	}
	if err != nil && len(item.Destinations) == 0 {
		item.Error = NewProblem(err, r.options.Hints)
	}
	r.keep(item)
}

// plan adds the blobs that no destination of the same registry needed before.
func (r *Report) plan(to transfer.DestinationPlan) {
	registry := cmp.Or(to.Reference.Registry, to.Reference.Name())
	for _, d := range to.Blobs {
		key := blob{registry, d.Digest.String()}
		if !r.planned[key] {
			r.planned[key] = true
			r.Bytes.Planned += d.Size
		}
	}
}

func (r *Report) item(job transfer.Job, warnings []warning.Warning) Item {
	r.entry(job.Entry) // which may have nothing to count, only warnings
	item := Item{Entry: job.Entry, Destinations: []Destination{}, Image: job.Source}
	if !job.Source.IsZero() {
		item.Source = job.Source.String()
	}
	item.Warnings = r.options.Warnings(warnings)
	return item
}

// place adds a destination to an item, with its error.
func (r *Report) place(item *Item, to Destination, err error) {
	switch {
	case err == nil:
	case to.Status == StatusFailed && ofSource(err) && (item.Error == nil || item.Error.Cause == CauseOf(err)):
		if item.Error == nil {
			item.Error = NewProblem(err, r.options.Hints)
		}
	default:
		to.Error = NewProblem(err, r.options.Hints)
	}
	if !r.options.Changes || to.Status != StatusUnchanged || to.Referrers > 0 {
		item.Destinations = append(item.Destinations, to)
	}
}

// keep keeps an item that there is something to say about.
func (r *Report) keep(item Item) {
	if !r.options.Changes || len(item.Destinations) > 0 || len(item.Warnings) > 0 || item.Error != nil {
		r.Items = append(r.Items, item)
	}
}

// RuleOf returns a rule of the engine as data; nil for no rule.
func RuleOf(rule transfer.Rule) *Rule {
	if rule.Kind == "" {
		return nil
	}
	r := &Rule{Kind: rule.Kind, Limit: rule.Limit}
	if f := rule.Found; f != (transfer.Found{}) {
		r.Found = &Found{Size: f.Size}
		if !f.SourceCreated.IsZero() {
			r.Found.SourceCreated = &f.SourceCreated
		}
		if !f.DestinationCreated.IsZero() {
			r.Found.DestinationCreated = &f.DestinationCreated
		}
	}
	return r
}

// Finish completes the report. counters are those of the engine, requests those of the registry client; both may be
// nil.
func (r *Report) Finish(ended time.Time, counters *transfer.Counters, requests map[string]int64) {
	// Sub takes the monotonic clock, so that Ended does not depend on a clock that was set meanwhile.
	r.Run.Ended = r.Run.Started.Add(ended.Sub(r.Run.Started))
	if counters != nil {
		r.Bytes.Read, r.Bytes.Reread = counters.Read.Load(), counters.Reread.Load()
		r.Bytes.Sent, r.Bytes.Resent = counters.Sent.Load(), counters.Resent.Load()
		r.Bytes.Mounted, r.Bytes.Skipped = counters.Mounted.Load(), counters.Skipped.Load()
	}
	if requests != nil {
		r.Requests = requests
	}
	if r.IsPlan() {
		return // it has the order of the configuration already
	}
	rank := func(entry string) int {
		if i, known := r.index[entry]; known {
			return i
		}
		return len(r.Entries)
	}
	slices.SortStableFunc(r.Items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(rank(a.Entry), rank(b.Entry)), cmp.Compare(a.Source, b.Source))
	})
}

// IsPlan reports whether the report says what a run would do.
func (r *Report) IsPlan() bool { return r.Command == "plan" || r.Command == "diff" }
