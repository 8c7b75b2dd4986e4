package mirror

import (
	"context"
	"fmt"
	"slices"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

const (
	// hubTags is how many tags of a Docker Hub repository are taken without being asked
	// for: its large repositories have thousands, and each costs pulls of the quota.
	hubTags = 200
	// maxTags bounds a listing: registries lie.
	maxTags = 1_000_000
)

// list reads the tags of a repository.
func (s *Selection) list(ctx context.Context, repository reference.Reference, tags *config.Tags) ([]string, error) {
	source, err := s.Sources.OpenSource(ctx, repository)
	if err != nil {
		return nil, err
	}
	lister, ok := source.(content.TagLister)
	if !ok {
		return nil, fmt.Errorf("its tags cannot be listed, name one: %w", content.ErrUnsupported)
	}
	var listed []string
	for tag, err := range lister.Tags(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list tags: %w", err)
		}
		if content.IsAttachedTag(tag) {
			continue
		}
		listed = append(listed, tag)
		if len(listed) > maxTags {
			return nil, fmt.Errorf("list tags: %w: more than %d", content.ErrInvalid, maxTags)
		}
		if len(listed) > hubTags && repository.Registry == reference.DockerHub && !tags.Explicit() {
			return nil, &ManyTagsError{Repository: repository}
		}
	}
	return listed, nil
}

// ManyTagsError is a repository of Docker Hub with more tags than an entry takes that does
// not say which.
type ManyTagsError struct {
	Repository reference.Reference
}

func (e *ManyTagsError) Error() string {
	return fmt.Sprintf("there are more than %d tags; say which with `tags: {include: […]}`, or take all with include: [\"*\"]", hubTags)
}

// NothingSelectedError is a repository of which an entry's `tags` select nothing: probably a
// mistyped pattern, whose mirror would stay empty for ever.
type NothingSelectedError struct {
	Repository reference.Reference
	Tags       *config.Tags
	// Listed is how many tags the repository has. It was not asked where Named is set:
	// the tags are all said by name.
	Listed int
	Named  bool
}

func (e *NothingSelectedError) Error() string {
	switch {
	case e.Named:
		return "no tag is selected by " + e.Tags.String()
	case e.Listed == 0:
		return "it has no tags, so none is selected by " + e.Tags.String()
	case e.Listed == 1:
		return "its one tag is not selected by " + e.Tags.String()
	default:
		return fmt.Sprintf("none of its %d tags is selected by %s", e.Listed, e.Tags)
	}
}

// choose selects from the tags of a repository, each once: those that are included by name,
// in the file's order and listed or not, then the others, sorted.
func choose(tags *config.Tags, listed []string) (chosen, warnings []string) {
	literals, _ := tags.Literals()
	seen := map[string]bool{}
	for _, tag := range literals {
		if content.IsAttachedTag(tag) {
			warnings = append(warnings, fmt.Sprintf("the tag %s is left out: it goes with its image", tag))
			continue
		}
		seen[tag] = true
		chosen = append(chosen, tag)
	}
	named := len(chosen)
	for _, tag := range listed {
		if !seen[tag] && !content.IsAttachedTag(tag) && tags.Select(tag) {
			seen[tag] = true
			chosen = append(chosen, tag)
		}
	}
	slices.Sort(chosen[named:])
	return chosen, append(warnings, idle(tags, listed)...)
}

// idle tells of patterns that match nothing, probably a mistake, and of a repository that
// has nothing to give.
func idle(tags *config.Tags, listed []string) []string {
	if tags == nil {
		if len(listed) == 0 {
			return []string{"the repository has no tags"}
		}
		return nil
	}
	var texts []string
	for _, p := range tags.Include {
		if _, literal := p.Literal(); !literal && !slices.ContainsFunc(listed, p.Match) {
			texts = append(texts, fmt.Sprintf("%s matches none of the %d tags", p, len(listed)))
		}
	}
	return texts
}
