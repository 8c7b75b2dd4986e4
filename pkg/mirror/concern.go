package mirror

import (
	"context"
	"iter"
	"slices"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// concerned yields what an image has to do with the sources of the configuration: those
// that it is an image of, if asSource, and those that may be written to it.
func (e *explaining) concerned(ctx context.Context, ref reference.Reference, asSource bool) iter.Seq[concern] {
	return func(yield func(concern) bool) {
		for i := range e.selection.Config.Entries {
			entry := &e.selection.Config.Entries[i]
			for _, from := range entry.Sources {
				if asSource && !e.taken(entry, from, ref, yield) {
					return
				}
				if !e.written(ctx, entry, from, ref, yield) {
					return
				}
			}
		}
	}
}

// taken yields ref as an image of a source.
func (e *explaining) taken(entry *config.Entry, from config.Source, ref reference.Reference, yield func(concern) bool) bool {
	source, ok := holds(from, ref)
	if !ok {
		return true
	}
	c := concern{entry: entry, from: from, source: source, image: ref}
	if c.belongs() {
		c.to = belongingTo(entry, source, ref.Tag)
		return yield(c)
	}
	for _, destination := range entry.Destinations {
		if target, err := destination.Reference(ref); err == nil {
			c.to = append(c.to, target)
		}
	}
	return yield(c)
}

// holds reports whether an image is of a source. Of a pattern it gives the match.
func holds(from config.Source, ref reference.Reference) (config.Source, bool) {
	switch {
	case from.Glob != "":
		if ref.Registry != from.Reference.Registry || !ref.IsRegistry() || !from.Matches(ref.Repository) {
			return from, false
		}
		return sourcesOf(from, []string{ref.Repository})[0], true
	case from.IsRepository():
		return from, from.Reference == ref.WithoutIdentifier() && ref.Tag != ""
	case content.IsAttachedTag(ref.Tag):
		return from, from.Reference.WithoutIdentifier() == ref.WithoutIdentifier()
	default:
		return from, from.Reference == ref
	}
}

// written yields the images of a source that are written to ref, selected or not.
func (e *explaining) written(ctx context.Context, entry *config.Entry, from config.Source, ref reference.Reference, yield func(concern) bool) bool {
	here := spread{name: ref.Name()}
	if !meetsAny(here, spreads(entry, from)) {
		return true
	}
	sources := []config.Source{from}
	if from.Glob != "" {
		var err error
		if sources, _, err = e.selection.matches(ctx, from); err != nil {
			return yield(unknown(entry, from, from, err))
		}
	}
	for _, source := range sources {
		if !meetsAny(here, spreads(entry, source)) {
			continue
		}
		images, err := e.writers(ctx, entry, source, ref)
		if err != nil && !yield(unknown(entry, from, source, err)) {
			return false
		}
		for _, image := range images {
			c := concern{entry: entry, from: from, source: source, image: image, to: []reference.Reference{ref}}
			if !yield(c) {
				return false
			}
		}
	}
	return true
}

// unknown is a source of which nobody can tell what it would write.
func unknown(entry *config.Entry, from, source config.Source, err error) concern {
	return concern{
		entry: entry, from: from, source: source, image: named(source),
		err: &transfer.Error{Side: transfer.SideSource, Reference: named(source), Err: err},
	}
}

// writers are the images of a source that are written to ref. The tag of the same name is
// tried first, because most keep theirs; otherwise all are. A tag that belongs to an image
// has the same name at both sides.
func (e *explaining) writers(ctx context.Context, entry *config.Entry, source config.Source, ref reference.Reference) ([]reference.Reference, error) {
	besides := func(to reference.Reference) bool { return same(to, ref) }
	if content.IsAttachedTag(ref.Tag) && slices.ContainsFunc(belongingTo(entry, source, ref.Tag), besides) {
		return []reference.Reference{source.Reference.WithTag(ref.Tag)}, nil
	}
	if !source.IsRepository() {
		return writing(entry, ref, source.Reference), nil
	}
	if images := writing(entry, ref, source.Reference.WithTag(ref.Tag)); ref.Tag != "" && len(images) > 0 {
		return images, nil
	}
	names, all := entry.Tags.Literals()
	if !all {
		list, err := e.listings.list(ctx, source.Reference)
		if err != nil {
			return nil, err
		}
		names = list.tags
	}
	images := make([]reference.Reference, len(names))
	for i, name := range names {
		images[i] = source.Reference.WithTag(name)
	}
	return writing(entry, ref, images...), nil
}

// writing are those of some images that an entry writes to ref.
func writing(entry *config.Entry, ref reference.Reference, images ...reference.Reference) []reference.Reference {
	var found []reference.Reference
	for _, image := range images {
		for _, destination := range entry.Destinations {
			if target, err := destination.Reference(image); err == nil && same(target, ref) {
				found = append(found, image)
				break
			}
		}
	}
	return found
}

// same reports whether both references name the same tag, or without one the same digest.
func same(a, b reference.Reference) bool {
	if a.Tag == "" || b.Tag == "" {
		return a == b
	}
	return tagOf(a) == tagOf(b)
}
