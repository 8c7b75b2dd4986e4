package content

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Tags implements [TagLister], in the order of the alphabet.
func (r *MemoryRepository) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, tag := range r.tagNames() {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(tag, nil) {
				return
			}
		}
	}
}

func (r *MemoryRepository) tagNames() []string {
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	return slices.Sorted(maps.Keys(r.tags))
}

// Referrers implements [ReferrersLister].
func (r *MemoryRepository) Referrers(ctx context.Context, subject digest.Digest) ([]Descriptor, error) {
	if err := checkRequest(ctx, Descriptor{Digest: subject}); err != nil {
		return nil, err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	var referrers []Descriptor
	for _, m := range r.manifests {
		if m.Subject != nil && m.Subject.Digest == subject {
			referrers = append(referrers, m.Referrer())
		}
	}
	slices.SortFunc(referrers, func(a, b Descriptor) int {
		return strings.Compare(a.Digest.String(), b.Digest.String())
	})
	return referrers, nil
}

// Delete implements [Deleter].
func (r *MemoryRepository) Delete(ctx context.Context, reference string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	m, err := r.lookup(reference)
	if err != nil {
		return err
	}
	if _, tagged := r.tags[reference]; tagged {
		delete(r.tags, reference)
		return nil
	}
	delete(r.manifests, m.Descriptor.Digest)
	maps.DeleteFunc(r.tags, func(_ string, d digest.Digest) bool { return d == m.Descriptor.Digest })
	return nil
}
