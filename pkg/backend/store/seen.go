package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// annotationSeenAt lists the repositories that have an image, by their full names with
// commas between, the latest first.
const annotationSeenAt = "io.github.regsync.seen-at"

// maxSeenAt bounds that list.
const maxSeenAt = 8

// Seen remembers that a repository has the image of this manifest digest, because it was
// just pulled from there or pushed to there.
func (s *Store) Seen(ctx context.Context, image digest.Digest, at reference.Reference) error {
	s.hints.forget()
	name := nameOf(at)
	return s.layout.Update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		found := false
		for i, entry := range entries {
			if entry.Digest != image {
				continue
			}
			found = true
			seen := append([]string{name}, slices.DeleteFunc(seenAt(entry), func(s string) bool { return s == name })...)
			annotations := maps.Clone(entry.Annotations)
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[annotationSeenAt] = strings.Join(seen[:min(len(seen), maxSeenAt)], ",")
			entries[i].Annotations = annotations
		}
		if !found {
			return nil, fmt.Errorf("image %s: %w", image, content.ErrNotFound)
		}
		return entries, nil
	})
}

func seenAt(entry content.Descriptor) []string {
	list := entry.Annotations[annotationSeenAt]
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// MountHints names the repositories of a registry that had an image with the blob when the
// store last saw them, so that they may be asked for a mount. It is the engine's
// Options.MountHints. What cannot be read gives no hints.
func (s *Store) MountHints(registry string, blob digest.Digest) []string {
	s.hints.mu.Lock()
	defer s.hints.mu.Unlock()
	if s.hints.repositories == nil {
		s.hints.repositories = s.readHints(context.Background())
	}
	return slices.Clone(s.hints.repositories[place{registry, blob}])
}

// hints are read from the images at the first question and remembered.
type hints struct {
	mu           sync.Mutex
	repositories map[place][]string
}

type place struct {
	registry string
	blob     digest.Digest
}

func (h *hints) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.repositories = nil
}

func (s *Store) readHints(ctx context.Context) map[place][]string {
	hints := map[place][]string{}
	entries, err := s.layout.Entries(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return hints
	}
	for _, entry := range entries {
		repositories := seenAt(entry)
		if len(repositories) == 0 {
			continue
		}
		for _, blob := range s.read(ctx, entry).Blobs {
			for _, name := range repositories {
				registry, repository, _ := strings.Cut(name, "/")
				at := place{registry, blob.Digest}
				if reference.CheckRepository(repository) == nil && !slices.Contains(hints[at], repository) {
					hints[at] = append(hints[at], repository)
				}
			}
		}
	}
	return hints
}
