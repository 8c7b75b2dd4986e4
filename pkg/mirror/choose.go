package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/list"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// hubTags is how many tags of a Docker Hub repository are selected without `tags`:
// its large repositories have thousands, and each costs pulls of the quota.
const hubTags = 200

// read finds out what a feed has. An entry that says which tags it wants, and gets none,
// has failed.
func (m *merge) read(ctx context.Context, f *list.Feed) list.Result {
	ctx, cancel := f.Bounded(ctx)
	defer cancel()
	var found list.Result
	var err error
	switch {
	case f.Source.Glob != "":
		found.Sources, found.Invalid, err = list.Matches(ctx, m.selection.Catalog, f.Source)
	case f.Source.IsRepository():
		found, err = m.tags(ctx, f)
	}
	_, unmatched := errors.AsType[*NoRepositoryError](err)
	_, nothing := errors.AsType[*NothingSelectedError](err)
	switch {
	case err == nil:
		return found
	case f.Found() && (nothing || errors.Is(err, content.ErrNotFound)):
		// A pattern finds what is about to be made or removed, too.
		found.Warnings = append(found.Warnings, err)
		return found
	}
	if late, ok := errors.AsType[*transfer.TimeoutError](context.Cause(ctx)); ok {
		err = late
	}
	found.Unknown = !unmatched && !nothing
	found.Err = &transfer.Error{Side: transfer.SideSource, Reference: list.Name(f.Source), Err: transfer.Paused(err)}
	return found
}

// tags chooses from the tags of a repository.
func (m *merge) tags(ctx context.Context, f *list.Feed) (list.Result, error) {
	repository, selector := f.Source.Reference, f.Entry.Tags
	made, err := m.selection.choose(ctx, m.listings, f.Entry, repository)
	found := list.Result{Invalid: made.invalid}
	if err != nil {
		return found, err
	}
	if m.explaining {
		found.Verdicts = made.Verdicts
	}
	selected := made.Selected()
	if len(selected) == 0 && selector != nil && made.TooOldOrYoung == 0 {
		return found, &NothingSelectedError{
			Repository: repository, Tags: selector, Listed: made.listed, AgeUnknown: made.AgeUnknown, Named: made.ages == nil,
		}
	}
	found.Tags = selected
	for _, text := range made.Warnings {
		found.Warnings = append(found.Warnings, errors.New(text))
	}
	if len(selected) == 0 && selector != nil {
		found.Warnings = append(found.Warnings, fmt.Errorf("%s excluded by age, and no other tag is selected by %s", plural(made.TooOldOrYoung, "tag"), selector))
	}
	if made.ages != nil {
		found.Resolved = made.ages.resolvedOf(selected)
		if cost := made.ages.cost(repository.Registry); cost != "" {
			found.Warnings = append(found.Warnings, errors.New(cost))
		}
	}
	return found, nil
}

// choice is what an entry takes of a repository.
type choice struct {
	tags.Choice
	listed  int                        // tags
	invalid *content.InvalidNamesError // nil if all listed tags are valid
	ages    *ages                      // nil where nothing had to be listed
}

// choose makes an entry's choice from the tags of a repository. They are listed where names
// alone do not tell.
func (s *Selection) choose(ctx context.Context, from *listings, entry *config.Entry, repository reference.Reference) (choice, error) {
	var made choice
	var asked tags.Ages
	names, named := entry.Tags.Literals()
	if !named {
		list, err := from.List(ctx, repository)
		if err != nil {
			return choice{}, err
		}
		if len(list.Names) > hubTags && repository.Registry == reference.DockerHub && !entry.Tags.Explicit() {
			return choice{}, &ManyTagsError{Repository: repository}
		}
		names, made.invalid, made.ages, asked = list.Names, list.Invalid, list.About, list.About
	}
	var err error
	made.listed = len(names)
	made.Choice, err = entry.Tags.Choose(ctx, names, asked, s.now())
	for i, v := range made.Verdicts {
		if v.Selected && v.Release != "" && sameName(entry, repository.WithTag(v.Tag), repository.WithTag(v.Release)) {
			made.Verdicts[i].Selected = false
			made.Verdicts[i].Rule = fmt.Sprintf("floating tag of %s, which gets the same name", v.Release)
		}
	}
	return made, err
}

// sameName reports whether an entry writes two images to one tag: with `newest: 1` and `rename: stable`, floating tags
// would meet their release there.
func sameName(entry *config.Entry, a, b reference.Reference) bool {
	return slices.ContainsFunc(entry.Destinations, func(to config.Destination) bool {
		first, err := to.Reference(a)
		second, otherErr := to.Reference(b)
		return err == nil && otherErr == nil && first == second
	})
}

func (s *Selection) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// ManyTagsError is a repository of Docker Hub with more tags than an entry takes that does
// not say which.
type ManyTagsError struct {
	Repository reference.Reference
}

// ErrorCode is for [content.AnswerOf].
func (e *ManyTagsError) ErrorCode() string { return "MANY_TAGS" }

func (e *ManyTagsError) Error() string {
	return fmt.Sprintf("the repository has more than %d tags; select some with `tags: {include: […]}`, or all with `include: [\"*\"]`", hubTags)
}

// NothingSelectedError is a repository of which an entry's `tags` select nothing: probably a
// mistyped pattern, whose mirror would stay empty.
type NothingSelectedError struct {
	Repository reference.Reference
	Tags       tags.Selector
	// Listed is how many tags the repository has. Of these, AgeUnknown were left out because their age is not known.
	Listed, AgeUnknown int
	// Named: the tags are all included by name, and the repository was not listed.
	Named bool
}

// ErrorCode and Reason are for [content.AnswerOf].
func (e *NothingSelectedError) ErrorCode() string { return "NOTHING_SELECTED" }

// Reason is the same for all selections.
func (e *NothingSelectedError) Reason() string { return "no tag is selected" }

func (e *NothingSelectedError) Error() string {
	switch {
	case e.AgeUnknown > 0:
		return fmt.Sprintf("none of its %s is selected by %s; tags of unknown age: %d", plural(e.Listed, "tag"), e.Tags, e.AgeUnknown)
	case e.Named:
		return "no tag is selected by " + e.Tags.String()
	case e.Listed == 0:
		return "the repository has no tags; none is selected by " + e.Tags.String()
	case e.Listed == 1:
		return "its only tag is not selected by " + e.Tags.String()
	default:
		return fmt.Sprintf("none of its %d tags is selected by %s", e.Listed, e.Tags)
	}
}
