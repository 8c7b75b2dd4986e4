package layout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

// node is what the graph keeps of a manifest: its type and its references, but not its annotations, which may be
// large.
type node struct {
	mediaType    string
	children     []content.Descriptor
	subject      digest.Digest
	artifactType string // empty if subject is
}

// graph remembers manifests that were read. They cannot change.
type graph struct {
	blobs *blobs
	nodes flight.Memo[digest.Digest, *node]
	// last is the latest list of referrers: the next referrer probably has the same subject.
	last atomic.Pointer[referrerList]
}

type referrerList struct {
	digest    digest.Digest
	referrers []content.Descriptor
}

func (g *graph) node(ctx context.Context, d content.Descriptor) (*node, error) {
	if known, found := g.nodes.Find(d.Digest); found {
		return known, nil
	}
	m, err := content.FetchAndParse(ctx, g.blobs, d)
	if err != nil {
		return nil, err
	}
	n := &node{mediaType: m.Descriptor.MediaType, children: withoutAnnotations(m.Manifests)}
	if m.Subject != nil {
		n.subject, n.artifactType = m.Subject.Digest, m.ReferrerType()
	}
	g.nodes.Keep(d.Digest, n)
	return n, nil
}

func withoutAnnotations(descriptors []content.Descriptor) []content.Descriptor {
	short := make([]content.Descriptor, 0, len(descriptors))
	for _, d := range descriptors {
		short = append(short, content.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	}
	return short
}

func (g *graph) isReferrer(ctx context.Context, entry content.Descriptor) bool {
	n, err := g.node(ctx, entry)
	return err == nil && n.subject != ""
}

// byDigest finds a manifest in the list of images, or inside an index in it. A blob whose content
// is a manifest does not count.
func (g *graph) byDigest(ctx context.Context, entries []content.Descriptor, want digest.Digest) (content.Descriptor, error) {
	found, _, err := g.search(ctx, entries, want)
	if err == nil && found == nil {
		err = fmt.Errorf("%s: manifest %s: %w", g.blobs.path, want, content.ErrNotFound)
	}
	if err != nil {
		return content.Descriptor{}, err
	}
	return *found, nil
}

// search is byDigest, which also reports whether some indexes could not be read. found is nil if nothing was found.
func (g *graph) search(ctx context.Context, entries []content.Descriptor, want digest.Digest) (found *content.Descriptor, unreadable bool, err error) {
	seen := map[digest.Digest]bool{}
	for level := entries; len(level) > 0; {
		if i := slices.IndexFunc(level, func(d content.Descriptor) bool { return d.Digest == want }); i >= 0 {
			return &level[i], unreadable, nil
		}
		var below []content.Descriptor
		for _, d := range level {
			if seen[d.Digest] || !mayHaveChildren(d) {
				continue
			}
			seen[d.Digest] = true
			n, err := g.node(ctx, d)
			if ctx.Err() != nil {
				return nil, unreadable, ctx.Err()
			}
			if err != nil { // one broken image must not hide other images
				unreadable = true
				continue
			}
			below = append(below, n.children...)
		}
		level = below
	}
	return nil, unreadable, nil
}

// mayHaveChildren returns false for manifests that need not be read, because manifests of their media type have no
// children.
func mayHaveChildren(d content.Descriptor) bool {
	return content.IsIndex(d.MediaType) || !slices.Contains(content.ManifestMediaTypes(), d.MediaType)
}

// superfluous reports whether an entry can be dropped when m is listed under a tag: it has no
// annotations, and it is m or below m. A referrer is kept unless m is the list that names it.
func (g *graph) superfluous(ctx context.Context, e content.Descriptor, m *content.Manifest, tag string) bool {
	if len(e.Annotations) > 0 {
		return false
	}
	if e.Digest == m.Descriptor.Digest {
		return true
	}
	if !slices.ContainsFunc(m.Manifests, func(d content.Descriptor) bool { return d.Digest == e.Digest }) {
		return false
	}
	n, err := g.node(ctx, e)
	return err != nil || n.subject == "" || content.FallbackTag(n.subject) == tag
}

// list adds m to the list of images.
func (g *graph) list(ctx context.Context, entries []content.Descriptor, m *content.Manifest, tag string) []content.Descriptor {
	d := m.Descriptor
	if tag == "" {
		if _, err := g.byDigest(ctx, entries, d.Digest); err == nil {
			return entries
		}
	}
	entries = slices.DeleteFunc(entries, func(e content.Descriptor) bool {
		return e.Digest != d.Digest && hasName(e, tag) || g.superfluous(ctx, e, m, tag)
	})
	if tag != "" && slices.ContainsFunc(entries, func(e content.Descriptor) bool { return hasName(e, tag) }) {
		return entries
	}
	entry := content.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: m.ArtifactType}
	if tag != "" {
		entry.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	return append(entries, entry)
}

// referrers returns the referrers of a subject. lost is the digest of a list whose file is missing or corrupt.
func (g *graph) referrers(ctx context.Context, entries []content.Descriptor, subject digest.Digest) (found []content.Descriptor, lost digest.Digest, err error) {
	seen := map[digest.Digest]bool{}
	add := func(d content.Descriptor, onList bool) error {
		if seen[d.Digest] {
			return nil
		}
		seen[d.Digest] = true
		n, err := g.node(ctx, d)
		unknown := errors.Is(err, content.ErrInvalid) || errors.Is(err, content.ErrSchema1)
		switch {
		case onList && (err == nil || unknown):
			if err == nil && n.subject == subject {
				d.MediaType, d.ArtifactType = n.mediaType, n.artifactType
			}
			found = append(found, d)
		case err == nil && n.subject == subject:
			m, err := content.FetchAndParse(ctx, g.blobs, d) // for its annotations
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
			children, err = g.listedIn(ctx, entry)
			if isLost(err) {
				lost = entry.Digest
				continue
			}
			if err != nil {
				return nil, "", fmt.Errorf("%s: list of referrers of %s: %w", g.blobs.path, subject, err)
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

// listedIn returns the entries of a list of referrers.
func (g *graph) listedIn(ctx context.Context, list content.Descriptor) ([]content.Descriptor, error) {
	if last := g.last.Load(); last != nil && last.digest == list.Digest {
		return last.referrers, nil
	}
	m, err := content.FetchAndParse(ctx, g.blobs, list)
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

// setReferrers adds the list of a subject's referrers to the entries, and removes the entries that
// the list makes superfluous. If the list has no file yet, it returns the entries and the error
// unwritten.
func (g *graph) setReferrers(ctx context.Context, entries []content.Descriptor, subject digest.Digest, referrers []content.Descriptor) ([]content.Descriptor, error) {
	tag := content.FallbackTag(subject)
	if len(referrers) == 0 {
		return slices.DeleteFunc(entries, func(e content.Descriptor) bool { return hasName(e, tag) }), nil
	}
	d, raw, err := content.NewReferrersList(referrers)
	if err != nil {
		return nil, fmt.Errorf("subject %s: %w", subject, err)
	}
	file, err := g.blobs.blobFile(d.Digest)
	if err != nil {
		return nil, err
	}
	there, err := g.blobs.intact(ctx, d, file)
	if err != nil {
		return nil, err
	}
	g.nodes.Keep(d.Digest, &node{mediaType: d.MediaType, children: withoutAnnotations(referrers)})
	g.last.Store(&referrerList{d.Digest, referrers})
	entries = g.list(ctx, entries, &content.Manifest{Descriptor: d, Manifests: referrers}, tag)
	if !there {
		return entries, unwritten{{d, raw, true, nil}}
	}
	return entries, nil
}

// forget forgets a list of referrers whose file could not be written.
func (g *graph) forget(list digest.Digest) {
	g.nodes.Forget(list)
	if last := g.last.Load(); last != nil && last.digest == list {
		g.last.CompareAndSwap(last, nil)
	}
}

// addReferrers adds manifests with the same subject to its list.
func (g *graph) addReferrers(ctx context.Context, entries []content.Descriptor, added []*pushed) ([]content.Descriptor, error) {
	subject := added[0].Subject.Digest
	referrers, _, err := g.referrers(ctx, entries, subject)
	if err != nil {
		return nil, err
	}
	for _, m := range added {
		if !slices.ContainsFunc(referrers, func(d content.Descriptor) bool { return d.Digest == m.Descriptor.Digest }) {
			referrers = append(referrers, m.Referrer())
		}
	}
	return g.setReferrers(ctx, entries, subject, referrers)
}

// removeReferrer removes a manifest from the list of its subject, if it has one.
func (g *graph) removeReferrer(ctx context.Context, entries []content.Descriptor, d digest.Digest) ([]content.Descriptor, error) {
	n, err := g.node(ctx, content.Descriptor{Digest: d})
	if err != nil || n.subject == "" {
		return entries, nil //nolint:nilerr // what is missing, or not a manifest, is on no list
	}
	referrers, _, err := g.referrers(ctx, entries, n.subject)
	if err != nil {
		return nil, err
	}
	left := filter(referrers, func(r content.Descriptor) bool { return r.Digest != d })
	if len(left) == len(referrers) {
		return entries, nil
	}
	return g.setReferrers(ctx, entries, n.subject, left)
}
