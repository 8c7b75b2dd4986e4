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
	for {
		entries, err := l.Entries(ctx)
		if _, failure := content.SplitInvalidNames(err); failure != nil {
			return nil, failure
		}
		found, lost, err := l.referrers(ctx, entries, subject)
		if lost == "" || err != nil {
			return found, err
		}
		now, err := l.Entries(ctx)
		if _, failure := content.SplitInvalidNames(err); failure != nil {
			return nil, failure
		}
		if slices.ContainsFunc(now, func(e content.Descriptor) bool { return e.Digest == lost }) {
			return found, nil
		}
	}
}

// referrers returns the referrers of a subject. lost is the digest of a list whose file is missing or corrupt.
func (l *Layout) referrers(ctx context.Context, entries []content.Descriptor, subject digest.Digest) (found []content.Descriptor, lost digest.Digest, err error) {
	seen := map[digest.Digest]bool{}
	add := func(d content.Descriptor, onList bool) error {
		if seen[d.Digest] {
			return nil
		}
		seen[d.Digest] = true
		n, err := l.node(ctx, d)
		unknown := errors.Is(err, content.ErrInvalid) || errors.Is(err, content.ErrSchema1)
		switch {
		case onList && (err == nil || unknown):
			if err == nil && n.subject == subject {
				d.MediaType, d.ArtifactType = n.mediaType, n.artifactType
			}
			found = append(found, d)
		case err == nil && n.subject == subject:
			m, err := content.FetchAndParse(ctx, l, d) // for its annotations
			if err != nil {
				return err
			}
			found = append(found, m.Referrer())
		case err != nil && !unknown && !isLost(err):
			return err
		}
		return nil
	}
	tag := content.FallbackTag(subject)
	for _, entry := range entries {
		children := []content.Descriptor{entry}
		onList := listTag(entry) == tag
		if onList {
			var err error
			children, err = l.listedIn(ctx, entry)
			if isLost(err) {
				lost = entry.Digest
				continue
			}
			if err != nil {
				return nil, "", fmt.Errorf("%s: list of referrers of %s: %w", l.path, subject, err)
			}
		}
		for _, d := range children {
			if err := add(d, onList); err != nil {
				return nil, "", err
			}
		}
	}
	return found, lost, nil
}

// listedIn returns what a list of referrers has.
func (l *Layout) listedIn(ctx context.Context, list content.Descriptor) ([]content.Descriptor, error) {
	if referrers, found := l.lists.find(list.Digest); found {
		return referrers, nil
	}
	m, err := content.FetchAndParse(ctx, l, list)
	if err != nil {
		return nil, err
	}
	return m.Manifests, nil
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
		return nil, fmt.Errorf("subject %s: %w", subject, err)
	}
	file, err := l.blobFile(d.Digest)
	if err != nil {
		return nil, err
	}
	there, err := l.intact(ctx, d, file)
	if err != nil {
		return nil, err
	}
	if !there {
		if err := l.write(ctx, d, raw); err != nil {
			return nil, err
		}
		l.lists.add(d.Digest, referrers)
		l.graph.keep(d.Digest, &node{mediaType: d.MediaType, children: withoutAnnotations(referrers)})
	}
	return l.list(ctx, entries, &content.Manifest{Descriptor: d, Manifests: referrers}, tag)
}

// addReferrers adds manifests with the same subject to its list.
func (l *Layout) addReferrers(ctx context.Context, entries []content.Descriptor, added []*content.Manifest) ([]content.Descriptor, error) {
	subject := added[0].Subject.Digest
	referrers, _, err := l.referrers(ctx, entries, subject)
	if err != nil {
		return nil, err
	}
	for _, m := range added {
		if !slices.ContainsFunc(referrers, func(d content.Descriptor) bool { return d.Digest == m.Descriptor.Digest }) {
			referrers = append(referrers, m.Referrer())
		}
	}
	return l.setReferrers(ctx, entries, subject, referrers)
}

// removeReferrer removes a manifest from the list of its subject, if it has one.
func (l *Layout) removeReferrer(ctx context.Context, entries []content.Descriptor, d digest.Digest) ([]content.Descriptor, error) {
	n, err := l.node(ctx, content.Descriptor{Digest: d})
	if err != nil || n.subject == "" {
		return entries, nil //nolint:nilerr // what is missing, or not a manifest, is on no list
	}
	referrers, _, err := l.referrers(ctx, entries, n.subject)
	if err != nil {
		return nil, err
	}
	left := filter(referrers, func(r content.Descriptor) bool { return r.Digest != d })
	if len(left) == len(referrers) {
		return entries, nil
	}
	return l.setReferrers(ctx, entries, n.subject, left)
}
