package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Resolve implements [content.Resolver]. A reference is a digest, a tag, a full name such
// as "docker.io/library/nginx:1.25", or empty for the only image. One that may mean several
// images is an [AmbiguousError]. An image whose manifest's file is missing or corrupt is
// not there.
func (l *Layout) Resolve(ctx context.Context, reference string) (content.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return content.Descriptor{}, err
	}
	index, err := l.readIndex()
	if err != nil {
		return content.Descriptor{}, err
	}
	var entry content.Descriptor
	if d := digest.Digest(reference); d.Validate() == nil {
		entry, err = l.byDigest(ctx, index.Manifests, d)
	} else if err = l.checkListed(index, reference); err == nil {
		entry, err = l.pick(index.Manifests, reference, func(e content.Descriptor) bool { return l.isReferrer(ctx, e) })
	}
	if err != nil {
		return content.Descriptor{}, err
	}
	return l.describe(ctx, entry)
}

// checkListed refuses an invalid name, and the name of an entry with an invalid descriptor.
func (l *Layout) checkListed(index index, name string) error {
	if name == "" {
		return nil
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	for _, entry := range index.invalid {
		if hasName(entry, name) {
			return fmt.Errorf("%s: %q: %w", l.file(ocispec.ImageIndexFile), name, content.CheckDescriptor(entry))
		}
	}
	return nil
}

// describe is what a manifest's file says of itself, rather than the list it stands in.
func (l *Layout) describe(ctx context.Context, entry content.Descriptor) (content.Descriptor, error) {
	file, err := l.blobFile(entry.Digest)
	if err != nil {
		return content.Descriptor{}, err
	}
	there, err := l.intact(ctx, entry, file)
	if err != nil {
		return content.Descriptor{}, err
	}
	if !there {
		return content.Descriptor{}, fmt.Errorf("%s: manifest %s is listed and its file is missing or corrupt: %w", l.path, entry.Digest, content.ErrNotFound)
	}
	d := content.Descriptor{MediaType: entry.MediaType, Digest: entry.Digest, Size: entry.Size}
	if node, err := l.node(ctx, entry); err == nil {
		d.MediaType = node.mediaType
	}
	return d, nil // what is no manifest that we know is for the reader to refuse
}

// FetchManifest implements [content.ManifestFetcher].
func (l *Layout) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	file, err := l.begin(ctx, d)
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(file, content.MaxManifestSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", file, content.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if err := content.VerifyBytes(raw, d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return raw, nil
}

// PushManifest implements [content.ManifestPusher]. A manifest whose blobs or children are
// missing is refused with an [content.ErrNotFound]; foreign layers and the subject may be.
//
// Manifests without a tag are listed in index.json so that other tools see them, until an
// index that contains them is written. A manifest with a subject is added to the list of its
// subject, which index.json has under the tag [content.FallbackTag]. A tag that moves leaves its
// old image unlisted.
func (l *Layout) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
	if _, err := l.begin(ctx, d); err != nil {
		return content.ManifestPushed{}, err
	}
	if tag != "" {
		if err := checkName(tag); err != nil {
			return content.ManifestPushed{}, fmt.Errorf("%s: %w", l.path, err)
		}
	}
	if err := content.VerifyBytes(raw, d); err != nil {
		return content.ManifestPushed{}, err
	}
	m, err := content.ParseManifest(d, raw)
	if err != nil {
		return content.ManifestPushed{}, err
	}
	if err := l.hold(ctx); err != nil {
		return content.ManifestPushed{}, err
	}
	if err := l.store(ctx, m); err != nil {
		return content.ManifestPushed{}, err
	}
	if err = l.enter(ctx, m, tag); err != nil || m.Subject == nil {
		return content.ManifestPushed{}, err
	}
	return content.ManifestPushed{Subject: m.Subject.Digest}, nil
}

// store writes the file of a manifest whose blobs and children are there.
func (l *Layout) store(ctx context.Context, m *content.Manifest) error {
	if err := l.checkComplete(m); err != nil {
		return fmt.Errorf("%s: push manifest %s: %w", l.path, m.Descriptor.Digest, err)
	}
	if err := l.put(ctx, m.Descriptor, m.Raw); err != nil {
		return fmt.Errorf("push manifest %s: %w", m.Descriptor.Digest, err)
	}
	return nil
}

// checkComplete looks for what m refers to. It compares sizes only: bytes were checked
// when they were written.
func (l *Layout) checkComplete(m *content.Manifest) error {
	for _, d := range m.Manifests {
		if !l.hasFile(d) {
			return fmt.Errorf("child %s: %w", d.Digest, content.ErrNotFound)
		}
	}
	for _, d := range m.Blobs() {
		if !content.IsForeign(d) && !l.hasFile(d) {
			return fmt.Errorf("blob %s: %w", d.Digest, content.ErrNotFound)
		}
	}
	return nil
}

func (l *Layout) hasFile(d content.Descriptor) bool {
	l.lists.keep(d.Digest)
	file, err := l.blobFile(d.Digest)
	if err != nil {
		return false
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// list enters m into the list of images.
func (l *Layout) list(ctx context.Context, entries []content.Descriptor, m *content.Manifest, tag string) ([]content.Descriptor, error) {
	d := m.Descriptor
	if tag == "" {
		if _, err := l.byDigest(ctx, entries, d.Digest); err == nil {
			return entries, nil
		}
	}
	entries = slices.DeleteFunc(entries, func(e content.Descriptor) bool {
		return e.Digest != d.Digest && hasName(e, tag) || l.superfluous(ctx, e, m, tag)
	})
	if tag != "" && slices.ContainsFunc(entries, func(e content.Descriptor) bool { return hasName(e, tag) }) {
		return entries, nil
	}
	entry := content.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, ArtifactType: m.ArtifactType}
	if tag != "" {
		entry.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	return append(entries, entry), nil
}

// superfluous reports whether an entry can be dropped when m is listed under a tag: it has no
// annotations, and it is m or below m. A referrer is kept unless m is the list that names it.
func (l *Layout) superfluous(ctx context.Context, e content.Descriptor, m *content.Manifest, tag string) bool {
	if len(e.Annotations) > 0 {
		return false
	}
	if e.Digest == m.Descriptor.Digest {
		return true
	}
	if !slices.ContainsFunc(m.Manifests, func(d content.Descriptor) bool { return d.Digest == e.Digest }) {
		return false
	}
	n, err := l.node(ctx, e)
	return err != nil || n.subject == "" || content.FallbackTag(n.subject) == tag
}

// Delete implements [content.Deleter]. An image that has lost its last name is no longer
// listed; [Layout.GC] frees its blobs. Manifests inside an index cannot be deleted, except
// referrers, which are removed from the list of their subject.
func (l *Layout) Delete(ctx context.Context, reference string) error {
	if d := digest.Digest(reference); d.Validate() == nil {
		return l.DeleteManifest(ctx, d, func(content.Descriptor) bool { return true })
	}
	if err := checkName(reference); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	return l.Update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		left := filter(entries, func(e content.Descriptor) bool { return !hasName(e, reference) })
		if len(left) == len(entries) {
			return nil, fmt.Errorf("%q is not listed: %w", reference, content.ErrNotFound)
		}
		return left, nil
	})
}

// DeleteManifest removes those entries of a manifest that its caller chooses, and removes it from the
// list of its subject.
func (l *Layout) DeleteManifest(ctx context.Context, d digest.Digest, chosen func(content.Descriptor) bool) error {
	return l.Update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		left, err := l.removeReferrer(ctx, slices.Clone(entries), d)
		if err != nil {
			return nil, err
		}
		left = filter(left, func(e content.Descriptor) bool { return e.Digest != d || !chosen(e) })
		if sameEntries(entries, left) {
			return nil, fmt.Errorf("%q is not listed: %w", d, content.ErrNotFound)
		}
		return left, nil
	})
}
