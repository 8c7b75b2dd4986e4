package ui

import (
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer"
)

// PlanSchema and DiffSchema name the format of a plan as JSON, which is kept: fields are
// added, never changed or removed. A diff is a plan whose reader looks for differences.
const (
	PlanSchema = "regsync.plan/v1"
	DiffSchema = "regsync.diff/v1"
)

// Plan is what a run would do. Make it with [NewPlan], in the order of the configuration.
type Plan struct {
	Schema string     `json:"schema"`
	Counts PlanCounts `json:"counts"`
	// Bytes is the most that would be sent: a blob counts once for each registry, and what
	// can be mounted or is there already is not sent.
	Bytes int64 `json:"bytes"`
	// Partial means that there may be more: planning was ended early.
	Partial bool        `json:"partial,omitempty"`
	Entries []PlanEntry `json:"entries"`

	options PlanOptions
	index   map[string]int
	known   map[planBlob]bool
}

// PlanOptions say what goes into a plan. The zero value works.
type PlanOptions struct {
	// Schema is PlanSchema if empty.
	Schema string
	// Hints gives the next steps; nil gives none.
	Hints Hints
	// Entries are the names of the entries in their order. Others follow as they come.
	Entries []string
	// Changes keeps no item of what is right already: it is counted only.
	Changes bool
}

// PlanCounts counts destinations by what would be done there.
type PlanCounts struct {
	Add       int `json:"add"`
	Move      int `json:"move"`
	Unchanged int `json:"unchanged"`
	// NotAsked is the part of Unchanged that was copied before and is immutable.
	NotAsked int `json:"notAsked"`
	// Skipped are left as they are by a rule of the configuration.
	Skipped int `json:"skipped"`
	Failed  int `json:"failed"`
	// Referrers are the signatures and other referrers that would be copied to those
	// destinations, unchanged ones too.
	Referrers int `json:"referrers"`
	// Refused is how many are left out because the destination has refused such referrers before.
	Refused int `json:"referrersNotAccepted,omitempty"`
}

// Pending reports whether there is something to do. What a rule holds back is not.
func (c PlanCounts) Pending() bool { return c.Add > 0 || c.Move > 0 || c.Referrers > 0 }

// PlanEntry is what one entry of the configuration would do.
type PlanEntry struct {
	Name   string     `json:"name,omitempty"`
	Counts PlanCounts `json:"counts"`
	Items  []PlanItem `json:"items"`
	// Errors are those of images that could not be planned at all.
	Errors   []*Problem `json:"errors,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
}

// PlanItem is what one image needs at one place.
type PlanItem struct {
	Source      string          `json:"source"`
	Destination string          `json:"destination"`
	Action      transfer.Action `json:"action"`
	Digest      string          `json:"digest"`
	Previous    string          `json:"previous,omitempty"`
	// Blobs and Bytes are what may have to be sent or mounted: at most so much.
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
	// Referrers are to be copied: they are missing there, or a signature's tag is another.
	Referrers int `json:"referrers,omitempty"`
	// Reason is the rule by which it is skipped, or why nobody was asked.
	Reason string   `json:"reason,omitempty"`
	Error  *Problem `json:"error,omitempty"`

	between string
	rule    transfer.Rule
}

// planBlob is a blob that a registry may need.
type planBlob struct {
	registry string
	digest   digest.Digest
}

// NewPlan begins a plan.
func NewPlan(options PlanOptions) *Plan {
	p := &Plan{
		Schema: PlanSchema, Entries: []PlanEntry{},
		options: options, index: map[string]int{}, known: map[planBlob]bool{},
	}
	if options.Schema != "" {
		p.Schema = options.Schema
	}
	for _, name := range options.Entries {
		p.entry(name)
	}
	return p
}

// Add takes what [transfer.Engine.Plan] yields: a plan, or the error of an image that could
// not be planned.
func (p *Plan) Add(plan *transfer.Plan, err error) {
	if err != nil {
		entry := ""
		if plan != nil {
			entry = plan.Job.Entry
		}
		e := p.entry(entry)
		e.Counts.Failed++
		p.Counts.Failed++
		e.Errors = append(e.Errors, NewProblem(err, p.options.Hints))
		return
	}
	e := p.entry(plan.Job.Entry)
	for _, to := range plan.Destinations {
		p.Counts.count(to)
		e.Counts.count(to)
		p.Bytes += p.unknown(to)
		if item := p.item(plan, to); !p.options.Changes || !item.kept() {
			e.Items = append(e.Items, item)
		}
	}
	for _, w := range plan.Warnings {
		e.Warnings = append(e.Warnings, Clean(plan.Job.Source.Familiar())+": "+warningText(w))
	}
}

func (p *Plan) item(plan *transfer.Plan, to transfer.DestinationPlan) PlanItem {
	return PlanItem{
		Source: name(plan.Job.Source), Destination: name(to.Reference), Action: to.Action,
		Digest: Clean(plan.Image.Digest.String()), Previous: Clean(to.Previous.String()),
		Blobs: len(to.Blobs), Bytes: to.Bytes(), Referrers: to.Referrers,
		Reason: ruleText(to.Rule), Error: NewProblem(to.Err, p.options.Hints),
		between: Between(plan.Job.Source, to.Reference), rule: to.Rule,
	}
}

func (c *PlanCounts) count(to transfer.DestinationPlan) {
	switch {
	case to.Err != nil:
		c.Failed++
		return
	case to.Action == transfer.ActionAdd:
		c.Add++
	case to.Action == transfer.ActionMove:
		c.Move++
	case to.Action == transfer.ActionSkip:
		c.Skipped++
		return
	default:
		c.Unchanged++
		if to.Rule.Kind == transfer.RuleCopied {
			c.NotAsked++
		}
	}
	c.Referrers += to.Referrers
	c.Refused += to.Refused
}

// unknown is the bytes of blobs that no destination of the same registry needed before.
func (p *Plan) unknown(to transfer.DestinationPlan) int64 {
	place := to.Reference.Registry
	if place == "" {
		place = to.Reference.Name()
	}
	var sum int64
	for _, d := range to.Blobs {
		key := planBlob{place, d.Digest}
		if !p.known[key] {
			p.known[key] = true
			sum += d.Size
		}
	}
	return sum
}

func (p *Plan) entry(name string) *PlanEntry {
	i, known := p.index[name]
	if !known {
		i = len(p.Entries)
		p.index[name] = i
		p.Entries = append(p.Entries, PlanEntry{Name: Clean(name), Items: []PlanItem{}})
	}
	return &p.Entries[i]
}

// WriteJSON writes the plan as one indented document.
func (p *Plan) WriteJSON(w io.Writer) error { return WriteJSON(w, p) }
