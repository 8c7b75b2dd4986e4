package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/mirror/internal/list"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// Explain finds out why an image, of a source or of a destination, is copied or not: each source of the configuration
// that has to do with it. If ref is a repository, all of its tags are explained, without resolving them. Explain only
// reads, and lists only what a run would list. The errors in the explanation are not described yet: see
// [report.Explanation.Describe]. text formats warnings, like that of [report.Options]. The error is ctx's cause.
func Explain(ctx context.Context, engine Planner, selection *Selection, ref reference.Reference, options report.Options) (*report.Explanation, error) {
	e := &explaining{options: options, selection: selection, engine: engine, ref: ref, merge: &merge{selection: selection, explaining: true}}
	e.found = report.Explanation{Schema: report.ExplanationSchema, Ref: ref, Findings: []report.Finding{}, Whole: ref.Identifier() == ""}
	e.merge.start(false, e.concerns)
	ctx, cancel := context.WithCancel(ctx)
	defer e.merge.wait()
	defer cancel()
	for f, ok := e.merge.scheduler.Next(ctx); ok; f, ok = e.merge.scheduler.Next(ctx) {
		if !f.Unwanted {
			e.explain(ctx, f)
		}
		for ok {
			_, ok = e.merge.scheduler.Take(f)
		}
	}
	e.withoutFeed(ctx)
	slices.SortStableFunc(e.findings, func(a, b finding) int { return slices.Compare(a.order[:], b.order[:]) })
	for _, f := range e.findings {
		e.found.Findings = append(e.found.Findings, f.Finding)
	}
	if len(e.findings) == 0 {
		e.found.Near = near(selection.Config, ref)
	}
	return &e.found, context.Cause(ctx)
}

// explaining is one explanation: the selection of a run, of those sources that concern ref.
type explaining struct {
	selection *Selection
	engine    Planner
	merge     *merge
	ref       reference.Reference
	options   report.Options
	found     report.Explanation
	findings  []finding
}

// finding is a finding and the place of its source in the configuration.
type finding struct {
	report.Finding
	order conflict.Order
}

// holds reports whether ref is an image of a source, or the repository of one.
func (e *explaining) holds(from config.Source) bool {
	switch repository := e.ref.WithoutIdentifier(); {
	case from.Glob != "":
		return repository.IsRegistry() && repository.Registry == from.Reference.Registry && from.Matches(repository.Repository)
	case from.IsRepository():
		return from.Reference == repository && e.ref.Digest == ""
	default:
		return from.Reference == e.ref || e.found.Whole && from.Reference.WithoutIdentifier() == e.ref
	}
}

// excluded returns the exclusion that removes the repository of ref from a pattern; empty if there is none.
func (e *explaining) excluded(from config.Source) string {
	repository := e.ref.WithoutIdentifier()
	if !repository.IsRegistry() || repository.Registry != from.Reference.Registry || !glob.Match(from.Glob, repository.Repository) {
		return ""
	}
	for _, out := range from.Exclude {
		if glob.Match(out, repository.Repository) {
			return repository.Registry + "/" + out
		}
	}
	return ""
}

// concerns reports whether ref may be an image of a feed, or a destination of one.
func (e *explaining) concerns(f *list.Feed) bool {
	if content.IsAttachedTag(e.ref.Tag) && f.Source.IsRepository() {
		return false // such tags are selected only where an entry names one
	}
	return !f.Entry.Unwanted && (e.holds(f.Source) || f.Writes(e.ref))
}

// explain adds the findings of a feed.
func (e *explaining) explain(ctx context.Context, f *list.Feed) {
	_, nothing := errors.AsType[*NothingSelectedError](f.Err)
	candidate := e.candidate(f)
	switch {
	case f.Err != nil && !nothing:
		e.add(ctx, f, report.Finding{Image: candidate, Err: f.Err})
		return
	case !f.Source.IsRepository():
		e.add(ctx, f, report.Finding{Image: f.Source.Reference, Selected: true, Rule: "named by the entry"})
		return
	}
	listed := candidate.Tag == ""
	for _, v := range f.Verdicts {
		listed = listed || v.Tag == candidate.Tag
		e.add(ctx, f, report.Finding{Image: f.Source.Reference.WithTag(v.Tag), Selected: v.Selected, Rule: v.Rule})
	}
	if !listed {
		rule := "the repository does not list it"
		if _, named := f.Entry.Tags.Literals(); named {
			rule = "the entry names other tags"
		}
		e.add(ctx, f, report.Finding{Image: candidate, Rule: rule})
	}
}

// candidate returns the image of a feed that is ref or would be written to it; the source if that image is not known.
func (e *explaining) candidate(f *list.Feed) reference.Reference {
	if e.holds(f.Source) {
		return e.ref
	}
	if image, _ := f.Origin(e.ref); !image.IsZero() {
		return image
	}
	return list.Name(f.Source)
}

// add completes a finding, if its image is explained.
func (e *explaining) add(ctx context.Context, f *list.Feed, found report.Finding) {
	within := func(ref reference.Reference) bool { return e.found.Whole && ref.WithoutIdentifier() == e.ref }
	image := slices.Index(f.Tags, found.Image.Tag)
	if !f.Source.IsRepository() {
		image = 0
	}
	for i, to := range f.Entry.Destinations {
		target, err := to.Reference(found.Image)
		if err != nil || found.Image != e.ref && !within(found.Image) && !within(target) && !conflict.SameTag(target, e.ref) {
			continue
		}
		c := report.CopyFinding{Reference: target}
		if found.Selected && image >= 0 {
			_, err := e.merge.scheduler.Check(f, image, i, target)
			if first, ok := errors.AsType[*CollisionError](err); ok {
				c.First = &report.Writer{Source: first.First, Entry: first.Entry}
			}
			if undecided, ok := errors.AsType[*UndecidedError](err); ok {
				c.Undecided = &report.Writer{Source: undecided.Unlisted, Entry: undecided.Entry}
			}
		}
		found.Copies = append(found.Copies, c)
	}
	if len(found.Copies) == 0 && found.Err == nil {
		return
	}
	found.Entry, found.At, found.From = f.Entry.Name, f.From.Position.String(), list.Name(f.From)
	if !e.found.Whole && found.Image.Identifier() != "" {
		e.compare(ctx, f.Entry, &found)
	}
	e.findings = append(e.findings, finding{found, f.Order})
}

// compare checks both sides, and plans what a run would do.
func (e *explaining) compare(ctx context.Context, entry *config.Entry, f *report.Finding) {
	job := e.selection.job(entry, f.Image)
	for _, c := range f.Copies {
		job.Destinations = append(job.Destinations, c.Reference)
	}
	for plan, err := range e.engine.Plan(ctx, slices.Values([]transfer.Job{job})) {
		if err != nil {
			f.Source = absence(err)
			if f.Selected { // a run fails, as diff does
				f.Source = report.Holding{Err: err}
			}
			e.lookAt(ctx, f.Copies)
			return
		}
		f.Source.Digest, f.Warnings = plan.Source.Digest, e.options.Warnings(plan.Warnings)
		if plan.Source.Digest == "" { // the plan did not need it
			f.Source = e.look(ctx, f.Image)
		}
		for i := range f.Copies {
			c := &f.Copies[i]
			for _, to := range plan.Destinations { // a destination that is listed twice is planned once
				if to.Reference != c.Reference {
					continue
				}
				c.Holding, c.Image = report.Holding{Digest: to.Previous, Err: to.Err}, plan.Image.Digest
				if to.Rule.Kind == transfer.RuleCopied {
					c.Holding = e.look(ctx, to.Reference)
				}
				if f.Selected && to.Err == nil {
					c.Action, c.Rule = to.Action, report.RuleOf(to.Rule)
				}
			}
		}
	}
}

// lookAt checks what destinations have if there is no plan.
func (e *explaining) lookAt(ctx context.Context, copies []report.CopyFinding) {
	for i := range copies {
		copies[i].Holding = e.look(ctx, copies[i].Reference)
	}
}

// look resolves a reference at a place.
func (e *explaining) look(ctx context.Context, ref reference.Reference) report.Holding {
	place, err := e.selection.Sources.OpenSource(ctx, ref)
	if err != nil {
		return absence(err)
	}
	there, err := place.Resolve(ctx, ref.Identifier())
	if err != nil {
		return absence(err)
	}
	return report.Holding{Digest: there.Digest}
}

// absence returns the state of a place that an error implies.
func absence(err error) report.Holding {
	if errors.Is(err, content.ErrNotFound) {
		return report.Holding{}
	}
	return report.Holding{Err: err}
}

// withoutFeed adds findings that have no feed: tags that belong to images, and repositories that match a pattern but
// are not listed.
func (e *explaining) withoutFeed(ctx context.Context) {
	for i := range e.selection.Config.Entries {
		entry := &e.selection.Config.Entries[i]
		for j, from := range entry.Sources {
			order := conflict.Order{i, j}
			known := slices.ContainsFunc(e.findings, func(f finding) bool { return f.order[0] == i && f.order[1] == j })
			found := report.Finding{Entry: entry.Name, At: from.Position.String(), From: list.Name(from), Image: e.ref}
			switch {
			case known || entry.Unwanted || ctx.Err() != nil:
			case content.IsAttachedTag(e.ref.Tag):
				e.attached(ctx, entry, from, finding{found, order})
			case from.Glob != "" && e.excluded(from) != "":
				found.Rule = "excluded by `!" + e.excluded(from) + "`"
				e.findings = append(e.findings, finding{found, order})
			case from.Glob != "" && e.holds(from):
				found.Rule = "the registry does not list the repository"
				e.findings = append(e.findings, finding{found, order})
			}
		}
	}
}

// attached explains a tag that belongs to an image, as that of a signature does: it is copied beside that image,
// under its own name. This lists nothing.
func (e *explaining) attached(ctx context.Context, entry *config.Entry, from config.Source, found finding) {
	image := from.Reference
	switch held := from.Glob != "" && e.holds(from); {
	case held:
		image = e.ref
	case from.Glob != "":
		w := conflict.Writer{Entry: conflict.NewEntry(entry.Name, nil, nil, entry.Destinations), Source: from.Sample()}
		conflict.NewTable().Register(&w)
		image, _ = w.Origin(e.ref)
	case from.IsRepository():
		image = image.WithTag(e.ref.Tag)
	}
	found.Image = image.WithTag(e.ref.Tag)
	for _, to := range entry.Destinations {
		target, err := to.Reference(image)
		if target = target.WithTag(e.ref.Tag); err == nil && (found.Image == e.ref || target == e.ref) {
			found.Copies = append(found.Copies, report.CopyFinding{Reference: target})
		}
	}
	if len(found.Copies) == 0 {
		return
	}
	found.Source = e.look(ctx, found.Image)
	e.lookAt(ctx, found.Copies)
	found.Rule = "copied with the image that it belongs to"
	if !entry.Referrers.Bring {
		found.Rule = "not copied: the entry has `referrers: false`"
	} else if subject := e.subject(ctx, entry, from, found.Image); !subject.IsZero() {
		found.Rule = fmt.Sprintf("copied with %s, which it belongs to", subject.Familiar())
	}
	e.findings = append(e.findings, found)
}

// maxSubjects is how many images are searched for the one that a tag belongs to.
const maxSubjects = 20

// subject is the image that a tag belongs to, if it is one of those that the entry names.
func (e *explaining) subject(ctx context.Context, entry *config.Entry, from config.Source, attached reference.Reference) reference.Reference {
	images := []reference.Reference{from.Reference}
	if from.IsRepository() {
		images = nil
		names, _ := entry.Tags.Literals()
		for _, name := range names[:min(len(names), maxSubjects)] {
			images = append(images, attached.WithTag(name))
		}
	}
	for _, image := range images {
		d := image.Digest
		if d == "" {
			d = e.look(ctx, image).Digest
		}
		if d != "" && strings.HasPrefix(attached.Tag, content.FallbackTag(d)) {
			return image
		}
	}
	return reference.Reference{}
}

// maxNear is the maximum number of similar sources.
const maxNear = 5

// near returns sources that are similar to an image that matches none.
func near(cfg *config.Config, ref reference.Reference) []report.Near {
	closest := map[report.NearKind][]report.Near{}
	for i := range cfg.Entries {
		if cfg.Entries[i].Unwanted {
			continue
		}
		for _, from := range cfg.Entries[i].Sources {
			n := report.Near{Entry: cfg.Entries[i].Name, At: from.Position.String(), From: list.Name(from)}
			switch same := ref.IsRegistry() && (from.Reference.Repository == ref.Repository || from.Matches(ref.Repository)); {
			case same && from.Reference.Registry == ref.Registry:
				n.Kind = report.NearTag
			case same:
				n.Kind = report.NearRegistry
			case from.Reference.Base() == ref.Base() && from.Glob == "":
				n.Kind = report.NearBase
			}
			closest[n.Kind] = append(closest[n.Kind], n)
		}
	}
	all := slices.Concat(closest[report.NearTag], closest[report.NearRegistry], closest[report.NearBase])
	return all[:min(len(all), maxNear)]
}
