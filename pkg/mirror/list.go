package mirror

import (
	"context"
	"fmt"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/tags"
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
func (s *Selection) list(ctx context.Context, repository reference.Reference, selector tags.Selector) ([]string, error) {
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
		if len(listed) > hubTags && repository.Registry == reference.DockerHub && !selector.Explicit() {
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
	Tags       tags.Selector
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
