package ui

import (
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer"
)

// PlanSchema names the format of a plan as JSON, which is kept: fields are added, never
// changed or removed.
const PlanSchema = "regsync.plan/v1"

// Plan is what a run would do. Make it with [NewPlan], in the order of the configuration.
type Plan struct {
	Schema string     `json:"schema"`
	Counts PlanCounts `json:"counts"`
	// Bytes is the most that would be sent: a blob counts once for each registry, and what
	// can be mounted or is there already is not sent.
	Bytes   int64       `json:"bytes"`
	Entries []PlanEntry `json:"entries"`

	hints Hints
	index map[string]int
	known map[planBlob]bool
}

// PlanCounts counts destinations by what would be done there.
type PlanCounts struct {
	Add       int `json:"add"`
	Move      int `json:"move"`
	Unchanged int `json:"unchanged"`
	Failed    int `json:"failed"`
	// Referrers are the signatures and other referrers that go along to those destinations,
	// unchanged ones too: at most so many, because what is there already is not sent again.
	Referrers int `json:"referrers"`
}

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
	// Referrers go along where they are missing.
	Referrers int      `json:"referrers,omitempty"`
	Error     *Problem `json:"error,omitempty"`

	copy string
}

// planBlob is a blob that a registry may need.
type planBlob struct {
	registry string
	digest   digest.Digest
}

// NewPlan begins an empty plan. hints may be nil.
func NewPlan(hints Hints) *Plan {
	return &Plan{
		Schema: PlanSchema, Entries: []PlanEntry{},
		hints: hints, index: map[string]int{}, known: map[planBlob]bool{},
	}
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
		e.Errors = append(e.Errors, NewProblem(err, p.hints))
		return
	}
	e := p.entry(plan.Job.Entry)
	for _, to := range plan.Destinations {
		p.Counts.count(to, len(plan.Referrers))
		e.Counts.count(to, len(plan.Referrers))
		p.Bytes += p.unknown(to)
		e.Items = append(e.Items, PlanItem{
			Source: name(plan.Job.Source), Destination: name(to.Reference), Action: to.Action,
			Digest: Clean(plan.Image.Digest.String()), Previous: Clean(to.Previous.String()),
			Blobs: len(to.Blobs), Bytes: to.Bytes(), Referrers: len(plan.Referrers),
			Error: NewProblem(to.Err, p.hints),
			copy:  Between(plan.Job.Source, to.Reference),
		})
	}
	for _, text := range plan.Warnings {
		e.Warnings = append(e.Warnings, Clean(plan.Job.Source.Familiar())+": "+Clean(text))
	}
}

func (c *PlanCounts) count(to transfer.DestinationPlan, referrers int) {
	if to.Err == nil {
		c.Referrers += referrers
	}
	switch {
	case to.Err != nil:
		c.Failed++
	case to.Action == transfer.ActionAdd:
		c.Add++
	case to.Action == transfer.ActionMove:
		c.Move++
	default:
		c.Unchanged++
	}
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
func (p *Plan) WriteJSON(w io.Writer) error { return writeJSON(w, p) }
