package layout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// Referrers implements [content.ReferrersLister]. It returns the manifests on the list that index.json
// has under the subject's [content.FallbackTag], as regclient and [Layout.PushManifest] write it, and
// those with an entry of their own, as ORAS writes them. It leaves out referrers whose file is missing
// or corrupt.
func (l *Layout) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	if err := content.CheckDescriptor(content.Descriptor{Digest: subject}); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	entries, err := l.Entries(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return nil, failure
	}
	return l.referrers(ctx, entries, subject)
}

func (l *Layout) referrers(ctx context.Context, entries []content.Descriptor, subject digest.Digest) ([]content.Descriptor, error) {
	var found []content.Descriptor
	seen := map[digest.Digest]bool{}
	add := func(d content.Descriptor, onList bool) error {
		if seen[d.Digest] {
			return nil
		}
		seen[d.Digest] = true
		n, err := l.node(ctx, d)
		unknown := errors.Is(err, content.ErrInvalid) || errors.Is(err, content.ErrSchema1)
		switch {
		case err == nil && n.subject == subject:
			found = append(found, n.referrer)
		case onList && (err == nil || unknown):
			found = append(found, d)
		case err != nil && !unknown && !isLost(err):
			return err
		}
		return nil
	}
	for _, entry := range entries {
		if listTag(entry) != content.FallbackTag(subject) {
			if err := add(entry, false); err != nil {
				return nil, err
			}
			continue
		}
		list, err := l.node(ctx, entry)
		if isLost(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: list of referrers of %s: %w", l.path, subject, err)
		}
		for _, d := range list.children {
			if err := add(d, true); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// listTag returns the tag of an entry that is a list of referrers; empty for other entries.
func listTag(entry content.Descriptor) string {
	tag, _ := tagIn(tagOf(entry))
	if !content.IsIndex(entry.MediaType) || !content.IsAttachedTag(tag) || strings.Contains(tag, ".") {
		return ""
	}
	return tag
}

// isLost reports whether a manifest's file is missing or corrupt.
func isLost(err error) bool {
	return errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrMismatch)
}

// setReferrers writes the list of a subject's referrers, and removes the entries that the list makes
// superfluous. The caller holds index.lock.
func (l *Layout) setReferrers(ctx context.Context, entries []content.Descriptor, subject digest.Digest, referrers []content.Descriptor) ([]content.Descriptor, error) {
	tag := content.FallbackTag(subject)
	if len(referrers) == 0 {
		return slices.DeleteFunc(entries, func(e content.Descriptor) bool { return hasName(e, tag) }), nil
	}
	d, raw, err := content.NewReferrersList(referrers)
	if err != nil {
		return nil, err
	}
	if d.Size > content.MaxManifestSize {
		return nil, fmt.Errorf("list of referrers of %s: %w: it would be larger than %d bytes", subject, content.ErrInvalid, content.MaxManifestSize)
	}
	if err := l.put(ctx, d, raw); err != nil {
		return nil, err
	}
	return l.list(ctx, entries, &content.Manifest{Descriptor: d, Manifests: referrers}, tag)
}

// addReferrer adds m to the list of its subject.
func (l *Layout) addReferrer(ctx context.Context, entries []content.Descriptor, m *content.Manifest) ([]content.Descriptor, error) {
	referrers, err := l.referrers(ctx, entries, m.Subject.Digest)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(referrers, func(d content.Descriptor) bool { return d.Digest == m.Descriptor.Digest }) {
		referrers = append(referrers, m.Referrer())
	}
	return l.setReferrers(ctx, entries, m.Subject.Digest, referrers)
}

// removeReferrer removes a manifest from the list of its subject, if it has one.
func (l *Layout) removeReferrer(ctx context.Context, entries []content.Descriptor, d digest.Digest) ([]content.Descriptor, error) {
	n, err := l.node(ctx, content.Descriptor{Digest: d})
	if err != nil || n.subject == "" {
		return entries, nil //nolint:nilerr // what is missing, or not a manifest, is on no list
	}
	referrers, err := l.referrers(ctx, entries, n.subject)
	if err != nil {
		return nil, err
	}
	left := filter(referrers, func(r content.Descriptor) bool { return r.Digest != d })
	if len(left) == len(referrers) {
		return entries, nil
	}
	return l.setReferrers(ctx, entries, n.subject, left)
}
