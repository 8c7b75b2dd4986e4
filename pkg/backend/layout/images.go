package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

// Resolve implements [content.Resolver]. A reference is a digest, a tag, a full name such as
// "docker.io/library/nginx:1.25", or empty for the only image. One that may mean several images is
// an [AmbiguousError]. An image whose manifest file is missing or corrupt is not found.
func (l *Layout) Resolve(ctx context.Context, reference string) (content.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return content.Descriptor{}, err
	}
	index, err := l.index.read()
	if err != nil {
		return content.Descriptor{}, err
	}
	var entry content.Descriptor
	if d := digest.Digest(reference); d.Validate() == nil {
		entry, err = l.graph.byDigest(ctx, index.Manifests, d)
	} else if err = l.checkListed(index, reference); err == nil {
		entry, err = l.pick(index.Manifests, reference, func(e content.Descriptor) bool { return l.graph.isReferrer(ctx, e) })
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

// describe returns the descriptor of an entry, with the media type that its manifest states.
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
		return content.Descriptor{}, fmt.Errorf("%s: manifest %s is in index.json, but its file is missing or corrupt: %w", l.path, entry.Digest, content.ErrNotFound)
	}
	d := content.Descriptor{MediaType: entry.MediaType, Digest: entry.Digest, Size: entry.Size}
	if node, err := l.graph.node(ctx, entry); err == nil {
		d.MediaType = node.mediaType
	}
	return d, nil // an unknown kind of manifest is refused when it is read
}

// Entries returns the images that index.json lists, tagged or not, in its order. The file is read
// again if it has changed. With a [content.InvalidNamesError], the entries are those that have a
// valid digest and size.
func (l *Layout) Entries(ctx context.Context) ([]content.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	index, err := l.index.read()
	if err != nil {
		return nil, err
	}
	invalid := content.InvalidNamesError{Kind: "name"}
	for _, entry := range index.invalid {
		invalid.Add(tagOf(entry) + "@" + entry.Digest.String())
	}
	return cloneEntries(index.Manifests), invalid.Err()
}

// Referrers implements [content.ReferrersLister]. It returns the manifests on the list that index.json
// has under the subject's [content.FallbackTag], as regclient and [Layout.PushManifest] write it, and
// those with an entry of their own, as ORAS writes them. It leaves out referrers whose file is missing
// or corrupt.
func (l *Layout) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	if err := content.CheckDescriptor(content.Descriptor{Digest: subject}); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		index, err := l.index.read()
		if err != nil {
			return nil, err
		}
		found, lost, err := l.graph.referrers(ctx, index.Manifests, subject)
		if lost == "" || err != nil {
			return found, err
		}
		now, err := l.index.read()
		if err != nil || slices.ContainsFunc(now.Manifests, func(e content.Descriptor) bool { return e.Digest == lost }) {
			return found, err
		}
	}
}

// Tags implements [content.TagLister]: the tags of all images, in the order of index.json. An
// image with a full name is listed by the tag in it. A tag that several images share, as
// docker save writes them, is listed once; Resolve returns an [AmbiguousError] for it. Left out are
// entries with an invalid descriptor, and those with a full name whose tag is the only name of another image.
func (l *Layout) Tags(ctx context.Context) iter.Seq2[string, error] {
	return l.listTags(ctx, "name", func(entries []content.Descriptor) func(content.Descriptor) (string, string) {
		plain := map[string]digest.Digest{}
		for _, entry := range entries {
			plain[tagOf(entry)] = entry.Digest
		}
		return func(entry content.Descriptor) (tag, leftOut string) {
			name := tagOf(entry)
			tag, ok := tagIn(name)
			switch {
			case name == "":
				return "", ""
			case !ok:
				return "", name
			case entry.MediaType != "" && content.CheckMediaType(entry.MediaType) != nil:
				return "", name + " of media type " + entry.MediaType
			case name != tag && plain[tag] != "" && plain[tag] != entry.Digest:
				return "", name + " beside " + tag
			}
			return tag, ""
		}
	})
}

// listTags yields the tags of entries, each once, and counts the names that are left out.
func (l *Layout) listTags(
	ctx context.Context, kind string, reader func(entries []content.Descriptor) func(entry content.Descriptor) (tag, leftOut string),
) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		entries, err := l.Entries(ctx)
		invalid, failure := content.SplitInvalidNames(err)
		if failure != nil {
			yield("", failure)
			return
		}
		if invalid == nil {
			invalid = &content.InvalidNamesError{Kind: kind}
		}
		seen, read := map[string]bool{"": true}, reader(entries)
		for _, entry := range entries {
			tag, leftOut := read(entry)
			if leftOut != "" {
				invalid.Add(leftOut)
			}
			if !seen[tag] && !yield(tag, nil) {
				return
			}
			seen[tag] = true
		}
		if err := invalid.Err(); err != nil {
			yield("", err)
		}
	}
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
	if err := l.checkComplete(m); err != nil {
		return content.ManifestPushed{}, fmt.Errorf("%s: push manifest %s: %w", l.path, d.Digest, err)
	}
	there, err := l.HasBlob(ctx, d)
	if err == nil && !there {
		err = l.write(ctx, d, raw)
	}
	if err != nil {
		return content.ManifestPushed{}, fmt.Errorf("push manifest %s: %w", d.Digest, err)
	}
	if err = l.enter(ctx, m, tag); err != nil || m.Subject == nil {
		return content.ManifestPushed{}, err
	}
	return content.ManifestPushed{Subject: m.Subject.Digest}, nil
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

// Update replaces the list of images in index.json by the result of change. No process changes the list at
// the same time. Blobs are not changed. The argument of change may be nil; change owns it, may be called
// again, and must not call methods of the layout that write.
func (l *Layout) Update(ctx context.Context, change func([]content.Descriptor) ([]content.Descriptor, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.update(ctx, change); err != nil {
		return fmt.Errorf("update %s: %w", l.path, err)
	}
	return nil
}

// unwritten is the error of a change of index.json that needs files to be written first.
type unwritten []file

type file struct {
	content.Descriptor
	raw  []byte
	list bool      // of referrers
	of   []*pushed // the manifests that fail if it cannot be written; the whole change fails if there are none
}

func (u unwritten) Error() string { return fmt.Sprintf("%d files are not written yet", len(u)) }

// update is like Update, for changes that need files: change then returns the entries and an unwritten. The files are
// written without the lock. If one cannot be written, or another process has changed index.json in the meantime,
// change is called again.
func (l *Layout) update(ctx context.Context, change func([]content.Descriptor) ([]content.Descriptor, error)) error {
	var planned *index
	var changed, written []content.Descriptor
	for {
		err := l.exclusively(ctx, func() error {
			index, err := l.index.read()
			if err != nil {
				return err
			}
			if planned == nil || planned.version != index.version {
				planned = &index
				if changed, err = change(cloneEntries(index.Manifests)); err != nil {
					return err
				}
			}
			return l.replaceEntries(ctx, index, changed, written)
		})
		files, ok := errors.AsType[unwritten](err)
		if !ok {
			return err
		}
		for _, f := range files {
			err := l.write(ctx, f.Descriptor, f.raw)
			if err != nil && f.list {
				l.graph.forget(f.Digest)
			}
			switch {
			case err != nil && f.of == nil:
				return err
			case err != nil:
				for _, p := range f.of {
					p.unwritten = err
				}
				planned = nil // without them
			case f.list:
				l.own.Store(f.Digest, true)
				written = append(written, f.Descriptor)
			}
		}
	}
}

// replaceEntries writes index.json. written are lists of referrers that were written for it or for an earlier
// attempt.
func (l *Layout) replaceEntries(ctx context.Context, index index, changed, written []content.Descriptor) error {
	replaced := slices.Concat(written, filter(index.Manifests, func(e content.Descriptor) bool { return listTag(e) != "" }))
	if !sameEntries(index.Manifests, changed) {
		index.Manifests = changed
		names := map[string]bool{}
		for _, entry := range changed {
			names[tagOf(entry)] = true
		}
		index.invalid = filter(index.invalid, func(e content.Descriptor) bool { return tagOf(e) == "" || !names[tagOf(e)] })
		if err := l.index.write(index); err != nil {
			return err
		}
	}
	l.removeReplaced(context.WithoutCancel(ctx), replaced, changed)
	return nil
}

// removeReplaced removes lists of referrers that are no longer listed and to which, as far as this process knows,
// nothing else refers: no other process has written since. [Layout.GC] removes the others. The caller holds
// index.lock, under which the references of a manifest are checked once more before it is listed.
func (l *Layout) removeReplaced(ctx context.Context, lists, listed []content.Descriptor) {
	for _, list := range lists {
		if slices.ContainsFunc(listed, func(e content.Descriptor) bool { return e.Digest == list.Digest }) {
			continue
		}
		l.graph.nodes.Forget(list.Digest)
		if _, own := l.own.LoadAndDelete(list.Digest); !own {
			continue
		}
		if found, unreadable, err := l.graph.search(ctx, listed, list.Digest); found != nil || unreadable || err != nil {
			continue
		}
		if path, err := l.blobFile(list.Digest); err == nil && l.disk.Remove(path) == nil {
			l.checked.Forget(list.Digest)
		}
	}
}

// pushed is a manifest whose file was written and that index.json does not list yet.
type pushed struct {
	*content.Manifest
	tag string

	// Guarded by the lock of its kind in queue:
	done      bool
	err       error
	unwritten error // why a file that it needs could not be written
}

// queue holds manifests that wait to be listed, separately for referrers and others. One goroutine lists all of a
// kind. Otherwise, pushing a thousand referrers would write the list of their subject a thousand times.
type queue struct {
	listing flight.Locks[bool]
	mu      sync.Mutex
	waiting map[bool][]*pushed
}

// set replaces the waiting manifests by the result of change, and returns the previous ones.
func (q *queue) set(referrers bool, change func([]*pushed) []*pushed) []*pushed {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = map[bool][]*pushed{}
	}
	before := q.waiting[referrers]
	q.waiting[referrers] = change(before)
	return before
}

// enter lists a manifest in index.json, together with those of its kind that other goroutines have pushed in the
// meantime.
func (l *Layout) enter(ctx context.Context, m *content.Manifest, tag string) error {
	p, isReferrer := &pushed{Manifest: m, tag: tag}, m.Subject != nil
	l.pushes.set(isReferrer, func(waiting []*pushed) []*pushed { return append(waiting, p) })
	unlock, err := l.pushes.listing.Lock(ctx, isReferrer)
	if err != nil {
		l.pushes.set(isReferrer, func(waiting []*pushed) []*pushed {
			return filter(waiting, func(other *pushed) bool { return other != p })
		})
		return fmt.Errorf("update %s: %w", l.path, err)
	}
	defer unlock()
	if !p.done {
		batch := l.pushes.set(isReferrer, func([]*pushed) []*pushed { return nil })
		err := l.enterAll(context.WithoutCancel(ctx), batch) // others wait for it
		for _, p := range batch {
			p.done = true
			p.err = cmp.Or(p.unwritten, p.err, err)
		}
	}
	if p.err != nil {
		return fmt.Errorf("update %s: %w", l.path, p.err)
	}
	return nil
}

// enterAll lists manifests, the referrers of one subject together. One that fails does not affect the others.
func (l *Layout) enterAll(ctx context.Context, batch []*pushed) error {
	return l.update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		var missing unwritten
		for groups := bySubject(filter(batch, func(p *pushed) bool { return p.unwritten == nil })); len(groups) > 0; {
			group := groups[0]
			groups = groups[1:]
			changed, err := l.enterGroup(ctx, slices.Clone(entries), group)
			files, isMissing := errors.AsType[unwritten](err)
			switch {
			case err == nil || isMissing:
				for i := range files {
					if files[i].list {
						files[i].of = group
					}
				}
				entries, missing = changed, append(missing, files...)
			case len(group) == 1:
				group[0].err = err
			default: // one of them fails, and not the others
				for _, p := range group {
					groups = append(groups, []*pushed{p})
				}
			}
		}
		if missing != nil {
			return entries, missing
		}
		return entries, nil
	})
}

// bySubject groups manifests by their subject. A manifest without a subject is a group of its own.
func bySubject(batch []*pushed) (groups [][]*pushed) {
	at := map[digest.Digest]int{}
	for _, p := range batch {
		p.err = nil // of an earlier attempt
		if p.Subject == nil {
			groups = append(groups, []*pushed{p})
			continue
		}
		i, found := at[p.Subject.Digest]
		if !found {
			i = len(groups)
			at[p.Subject.Digest] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], p)
	}
	return groups
}

// enterGroup lists one manifest, or several with the same subject. The error may be unwritten, with the entries.
func (l *Layout) enterGroup(ctx context.Context, entries []content.Descriptor, group []*pushed) ([]content.Descriptor, error) {
	var missing unwritten // a replaced list of referrers may have been removed in the meantime
	for _, p := range group {
		if err := l.checkComplete(p.Manifest); err != nil {
			return nil, fmt.Errorf("push manifest %s: %w", p.Descriptor.Digest, err)
		}
		if !l.hasFile(p.Descriptor) {
			missing = append(missing, file{p.Descriptor, p.Raw, false, []*pushed{p}})
		}
		if p.tag != "" || p.Subject == nil {
			entries = l.graph.list(ctx, entries, p.Manifest, p.tag)
		}
	}
	if group[0].Subject != nil {
		changed, err := l.graph.addReferrers(ctx, entries, group)
		files, isMissing := errors.AsType[unwritten](err)
		if err != nil && !isMissing {
			return nil, err
		}
		entries, missing = changed, append(missing, files...)
	}
	if missing != nil {
		return entries, missing
	}
	return entries, nil
}

// Delete implements [content.Deleter]. An image without a name is no longer
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
			return nil, content.ErrNotFound
		}
		return left, nil
	})
}

// DeleteManifest removes the entries of a manifest for which chosen returns true, and removes it from
// the list of its subject.
func (l *Layout) DeleteManifest(ctx context.Context, d digest.Digest, chosen func(content.Descriptor) bool) error {
	return l.Update(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
		left, err := l.graph.removeReferrer(ctx, slices.Clone(entries), d)
		if _, isMissing := errors.AsType[unwritten](err); err != nil && !isMissing {
			return nil, err
		}
		left = filter(left, func(e content.Descriptor) bool { return e.Digest != d || !chosen(e) })
		if sameEntries(entries, left) {
			return nil, content.ErrNotFound
		}
		return left, err
	})
}
