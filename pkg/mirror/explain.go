package mirror

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Finding is what one source of an entry has to do with an image.
type Finding struct {
	Entry string
	// Position is where the source stands in the configuration.
	Position config.Position
	// From is what the entry names: the image, its repository, or a pattern of repositories.
	From reference.Reference
	// Image is the image at the source.
	Image reference.Reference
	// Selected: the entry takes it. Rule says why, or why not, for people.
	Selected bool
	Rule     string
	// Err says why that is not known: Image is then the repository that could not be listed.
	Err error
	// Source is what the source has.
	Source Holding
	// Copies are the destinations: all, or the one that was asked about.
	Copies []CopyFinding
	// Warnings are the plan's.
	Warnings []warning.Warning
}

// CopyFinding is what one destination has, and what a run would do there.
type CopyFinding struct {
	Reference reference.Reference
	Holding
	// Image is what it is to get: the source's image, or what was selected of it.
	Image digest.Digest
	// Action is empty where it is not known: the entry does not take the image, or one of
	// the sides cannot be asked.
	Action transfer.Action
	// Rule is why it is skipped. Under [transfer.RuleCopied] a run would ask neither side.
	Rule transfer.Rule
	// First is the image that is written there instead; nil where there is none.
	First *CollisionError
}

// Holding is what a place has under a tag: nothing, if both are empty.
type Holding struct {
	Digest digest.Digest
	Err    error
}

// Explain finds out why an image, of a source or of a destination, is copied or not: each
// source of the configuration that has to do with it, in the file's order. It only reads,
// and lists a repository only where its tags are selected by more than their names. No
// finding means that nothing in the configuration names it. The error is ctx's cause.
func Explain(ctx context.Context, engine Planner, selection *Selection, ref reference.Reference) ([]Finding, error) {
	e := &explaining{
		selection: selection, engine: engine, listings: newListings(selection, true),
		choices: map[choiceKey]chosen{},
	}
	defer e.listings.reading.Wait()
	var findings []Finding
	for c := range e.concerned(ctx, ref, true) {
		findings = append(findings, e.find(ctx, c))
	}
	return findings, context.Cause(ctx)
}

// explaining remembers what one explanation has found out.
type explaining struct {
	selection *Selection
	engine    Planner
	listings  *listings
	choices   map[choiceKey]chosen
}

type choiceKey struct {
	entry      *config.Entry
	repository reference.Reference
}

type chosen struct {
	choice
	err error
}

// concern is an image of a source that goes to some destinations of its entry.
type concern struct {
	entry  *config.Entry
	from   config.Source // as it stands in the file
	source config.Source
	image  reference.Reference
	to     []reference.Reference
	err    error
}

// find says what there is to say of a concern.
func (e *explaining) find(ctx context.Context, c concern) Finding {
	f := Finding{Entry: c.entry.Name, Position: c.from.Position, From: named(c.from), Image: c.image, Err: c.err}
	if c.err == nil {
		f.Selected, f.Rule, f.Err = e.verdict(ctx, c)
	}
	for _, to := range c.to {
		f.Copies = append(f.Copies, CopyFinding{Reference: to})
	}
	if c.image.Identifier() == "" {
		return f
	}
	e.compare(ctx, c, &f)
	if f.Selected {
		for i := range f.Copies {
			f.Copies[i].First = e.first(ctx, c, f.Copies[i].Reference)
		}
	}
	return f
}

// verdict is whether an entry takes an image of one of its sources, and by which rule.
func (e *explaining) verdict(ctx context.Context, c concern) (selected bool, rule string, err error) {
	switch {
	case c.belongs():
		return false, e.belonging(ctx, c), nil
	case !c.source.IsRepository():
		return true, "named by the entry", nil
	}
	made := e.choose(ctx, c.entry, c.source.Reference)
	if made.err != nil {
		return false, "", made.err
	}
	i := slices.IndexFunc(made.Verdicts, func(v tags.Verdict) bool { return v.Tag == c.image.Tag })
	_, named := c.entry.Tags.Literals()
	switch {
	case i >= 0:
		return made.Verdicts[i].Selected, made.Verdicts[i].Rule, nil
	case named:
		return false, "the entry names other tags", nil
	default:
		return false, "the repository does not list it", nil
	}
}

// choose makes an entry's choice of the tags of a repository, once.
func (e *explaining) choose(ctx context.Context, entry *config.Entry, repository reference.Reference) chosen {
	key := choiceKey{entry, repository}
	made, known := e.choices[key]
	if known {
		return made
	}
	made.choice, made.err = e.selection.choose(ctx, e.listings, entry, repository)
	if made.err != nil {
		made.err = &transfer.Error{Side: transfer.SideSource, Reference: repository, Err: made.err}
	}
	e.choices[key] = made
	return made
}

// compare asks both sides, and what a run would do. What belongs to an image is no job.
func (e *explaining) compare(ctx context.Context, c concern, f *Finding) {
	if c.belongs() {
		f.Source = e.look(ctx, c.image)
		e.lookAt(ctx, f.Copies)
		return
	}
	job := e.selection.job(c.entry, c.image)
	job.Destinations = c.to
	for plan, err := range e.engine.Plan(ctx, slices.Values([]transfer.Job{job})) {
		if err != nil {
			f.Source = absence(err)
			e.lookAt(ctx, f.Copies)
			return
		}
		f.Source.Digest, f.Warnings = plan.Source.Digest, plan.Warnings
		if plan.Source.Digest == "" { // the plan could do without
			f.Source = e.look(ctx, c.image)
		}
		for i := range f.Copies {
			e.tell(ctx, &f.Copies[i], plan, f.Selected)
		}
	}
}

// tell takes what a plan says of the destination. One that is there twice is planned once.
func (e *explaining) tell(ctx context.Context, f *CopyFinding, plan *transfer.Plan, selected bool) {
	for _, to := range plan.Destinations {
		if to.Reference != f.Reference {
			continue
		}
		f.Holding = Holding{Digest: to.Previous, Err: to.Err}
		if to.Rule.Kind == transfer.RuleCopied {
			f.Holding = e.look(ctx, to.Reference)
		}
		f.Image = plan.Image.Digest
		if selected && to.Err == nil {
			f.Action, f.Rule = to.Action, to.Rule
		}
	}
}

// lookAt asks what destinations have, where there is no plan.
func (e *explaining) lookAt(ctx context.Context, copies []CopyFinding) {
	for i := range copies {
		copies[i].Holding = e.look(ctx, copies[i].Reference)
	}
}

// look asks what a place has.
func (e *explaining) look(ctx context.Context, ref reference.Reference) Holding {
	place, err := e.selection.Sources.OpenSource(ctx, ref)
	if err != nil {
		return absence(err)
	}
	there, err := place.Resolve(ctx, ref.Identifier())
	if err != nil {
		return absence(err)
	}
	return Holding{Digest: there.Digest}
}

// absence is what an error says of a place.
func absence(err error) Holding {
	if errors.Is(err, content.ErrNotFound) {
		return Holding{}
	}
	return Holding{Err: err}
}

// first is the other image that is written to a destination of c, if that one comes first.
func (e *explaining) first(ctx context.Context, c concern, target reference.Reference) *CollisionError {
	if target.Tag == "" {
		return nil
	}
	for other := range e.concerned(ctx, target, false) {
		if other.image == c.image && samePlatforms(other.entry, c.entry) {
			return nil
		}
		if selected, _, err := e.verdict(ctx, other); other.err == nil && err == nil && selected {
			return &CollisionError{Destination: tagOf(target), Source: c.image, First: other.image, Entry: other.entry.Name}
		}
	}
	return nil
}
