package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// listAttempts is how often a list of referrers is written while another writer keeps
// overwriting it.
const listAttempts = 3

// attachedAt is an attachment at a place.
type attachedAt struct {
	place place
	name  attachedName
}

// attachmentPut is the outcome of an attachment.
type attachmentPut struct {
	answer content.ManifestPushed
	there  bool // it existed already
}

// attach brings the attachments that the destination lacks, and their lists.
func (d *delivery) attach(ctx context.Context) error {
	unlisted := map[*referrerList]bool{}
	brought := map[digest.Digest]bool{}
	for _, a := range d.attachments {
		put, executed, err := d.attachOne(ctx, a)
		if err != nil {
			return err
		}
		if executed && !put.there {
			d.attached++
		}
		if a.list != nil {
			brought[a.descriptor.Digest] = true
			if put.answer.Subject == "" {
				unlisted[a.list] = true
			}
		}
	}
	for list := range unlisted {
		if err := d.bringList(ctx, list, brought); err != nil {
			return onSide(SideDestination, d.ref, fmt.Errorf("list of referrers of %s: %w", list.subject, err))
		}
	}
	return nil
}

// attachOne brings an attachment, once in a run however many tags the image has. executed
// reports whether this delivery did it.
func (d *delivery) attachOne(ctx context.Context, a *attachment) (put attachmentPut, executed bool, err error) {
	key := attachedAt{d.place, attachedName{a.tag, a.descriptor.Digest}}
	for {
		put, executed, err = d.engine.attaching.Do(ctx, &d.engine.running, key, func(ctx context.Context) (attachmentPut, error) {
			if a.tag != "" {
				return d.attachByTag(ctx, a)
			}
			d.needBelow(a.tree)
			if err := d.pushBelow(ctx, a.tree, a.tree.Root); err != nil {
				return attachmentPut{}, err
			}
			answer, err := d.pushManifest(ctx, a.tree, a.tree.Root, "")
			return attachmentPut{answer: answer}, err
		})
		if err == nil || executed || ctx.Err() != nil {
			return put, executed, err
		}
	}
}

// needBelow requests the blobs of a tree, and announces them for the image's other destinations.
func (d *delivery) needBelow(tree *content.Tree) {
	all := d.blobsBelow(tree, tree.Root)
	d.image.announce(d, all)
	d.blobs.Need(all...)
}

// attachByTag brings an attachment that cosign stores under a tag. If all of its blobs existed,
// it first checks whether the tag exists, too: some registries refuse to overwrite a tag even
// with the same manifest.
func (d *delivery) attachByTag(ctx context.Context, a *attachment) (attachmentPut, error) {
	root := a.tree.Root
	d.needBelow(a.tree)
	if err := d.pushBelow(ctx, a.tree, root); err != nil {
		return attachmentPut{}, err
	}
	moved, err := d.blobs.Wait(ctx, d.blobsOf(root)...)
	if err != nil {
		return attachmentPut{}, err
	}
	at := nameAt{d.at.target.Location(), a.tag}
	if d.isPending() && !moved {
		there, err := d.at.target.Resolve(ctx, a.tag)
		if err == nil && there.Digest == root.Descriptor.Digest {
			d.engine.answers.tags.Keep(at, there)
			return attachmentPut{there: true}, nil
		}
		if err != nil && !errors.Is(err, content.ErrNotFound) {
			return attachmentPut{}, onSide(SideDestination, d.ref, err)
		}
	}
	answer, err := d.pushManifest(ctx, a.tree, root, a.tag)
	if err == nil {
		d.engine.answers.tags.Keep(at, root.Descriptor)
	}
	return attachmentPut{answer: answer}, err
}

// bringList updates the list that a registry without the referrers API keeps under a tag. A
// destination without entries of its own gets the source's list, byte for byte. Otherwise the
// new entries are merged: the list is read, extended, pushed, and read again, because others
// write it, too. Within a run there is one writer at a time.
func (d *delivery) bringList(ctx context.Context, list *referrerList, brought map[digest.Digest]bool) error {
	unlock, err := d.engine.referrerLists.lock(ctx, contentKey{d.place, blobID{digest: list.subject}})
	if err != nil {
		return err
	}
	defer unlock()
	tag := content.FallbackTag(list.subject)
	for attempt := 0; ; attempt++ {
		there, err := d.at.target.Resolve(ctx, tag)
		if err != nil && !errors.Is(err, content.ErrNotFound) {
			return err
		}
		have, err := readList(ctx, manifestReader{d.engine, d.at.target}, there)
		if err != nil {
			return err
		}
		if list.listed(have, brought) {
			d.learnList(list, there, have)
			return nil
		}
		if attempt == listAttempts {
			return errors.New("another client keeps overwriting it")
		}
		wanted, err := list.mergedInto(have, brought)
		if err != nil {
			return err
		}
		if _, err := d.at.target.PushManifest(ctx, wanted.descriptor, wanted.raw, tag); err != nil {
			return err
		}
		d.engine.manifests.keep(manifestKey{d.at.target.Location(), idOf(wanted.descriptor)}, wanted.raw)
	}
}

// learnList remembers a list that has all of the source's, so that it is not read again.
func (d *delivery) learnList(list *referrerList, there content.Descriptor, have []content.Descriptor) {
	at := d.at.target.Location()
	d.engine.answers.tags.Keep(nameAt{at, content.FallbackTag(list.subject)}, there)
	d.engine.keepBelow(there.Digest, digestsOf(have))
	if there.Digest != list.descriptor.Digest && list.allIn(have) {
		d.engine.keepSelection(list.descriptor.Digest, mergedKey(at), there, nil)
	}
}

// listed reports whether all that was brought is on a list.
func (l *referrerList) listed(have []content.Descriptor, brought map[digest.Digest]bool) bool {
	return !slices.ContainsFunc(l.entries, func(e content.Descriptor) bool { return brought[e.Digest] && !has(have, e.Digest) })
}

// allIn reports whether all entries are on another list.
func (l *referrerList) allIn(have []content.Descriptor) bool {
	return !slices.ContainsFunc(l.entries, func(e content.Descriptor) bool { return !has(have, e.Digest) })
}

// mergedInto is the list of a destination that has some entries and was brought others: l
// itself where that has them all and nothing is missing.
func (l *referrerList) mergedInto(have []content.Descriptor, brought map[digest.Digest]bool) (*referrerList, error) {
	merged := slices.Clone(have)
	for _, e := range l.entries {
		if brought[e.Digest] && !has(have, e.Digest) {
			merged = append(merged, e)
		}
	}
	theirs := slices.ContainsFunc(have, func(h content.Descriptor) bool { return !has(l.entries, h.Digest) })
	if !theirs && l.allIn(merged) && digest.FromBytes(l.raw) == l.descriptor.Digest {
		return l, nil
	}
	return newReferrerList(l.subject, merged)
}
