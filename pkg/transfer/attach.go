package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// listAttempts is how often a list of referrers is written before somebody else, who
// writes it too, is taken to have won for good.
const listAttempts = 3

// attach brings the attachments of the plan, and their lists. With look it asks first
// whether they are there; without, the image is new and so are they.
func (d *delivery) attach(ctx context.Context, look bool) error {
	unlisted := map[digest.Digest][]content.Descriptor{}
	for _, a := range d.plan.attached {
		brought, listed, err := d.attachOne(ctx, a, look)
		if err != nil {
			return err
		}
		if brought {
			d.attached++
		}
		if a.tag == "" && !listed {
			unlisted[a.subject] = append(unlisted[a.subject], a.tree.Root.Referrer())
		}
	}
	for subject, entries := range unlisted {
		if err := d.addToList(ctx, subject, entries); err != nil {
			return onSide(SideDestination, d.ref, fmt.Errorf("list of referrers of %s: %w", subject, err))
		}
	}
	return nil
}

// attachOne brings one attachment. listed says that the destination keeps the subject's
// list of referrers itself.
func (d *delivery) attachOne(ctx context.Context, a attachment, look bool) (brought, listed bool, err error) {
	if look {
		there, err := d.target.Resolve(ctx, firstOf(a.tag, a.descriptor.Digest.String()))
		if err == nil && there.Digest == a.descriptor.Digest {
			listed, err = d.lists(ctx, a)
			return false, listed, onSide(SideDestination, d.ref, err)
		}
		if err != nil && !errors.Is(err, content.ErrNotFound) {
			return false, false, onSide(SideDestination, d.ref, err)
		}
	}
	if a.tag == "" {
		pushed, err := d.pushTree(ctx, a.tree, a.tree.Root)
		return true, pushed.Subject != "", err
	}
	if err := d.pushBelow(ctx, a.tree, a.tree.Root); err != nil {
		return false, false, err
	}
	_, err = d.pushManifest(ctx, a.tree.Root, a.tag)
	return true, true, err
}

// lists reports whether the destination's own list of referrers has an attachment, where
// that has to be on one.
func (d *delivery) lists(ctx context.Context, a attachment) (bool, error) {
	lister, ok := d.target.(content.ReferrersLister)
	if a.tag != "" || !ok {
		return a.tag != "", nil
	}
	listed, err := lister.Referrers(ctx, a.subject)
	if errors.Is(err, content.ErrUnsupported) || errors.Is(err, content.ErrNotFound) {
		return false, nil
	}
	return slices.ContainsFunc(listed, func(have content.Descriptor) bool {
		return have.Digest == a.descriptor.Digest
	}), err
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// addToList adds to the list that a registry without the referrers API keeps under a tag.
// The list is merged: read, added to, put, and read again, because others write it too.
// Within a run one writer at a time does so.
func (d *delivery) addToList(ctx context.Context, subject digest.Digest, entries []content.Descriptor) error {
	unlock, err := d.engine.referrerLists.lock(ctx, contentKey{d.place, blobID{digest: subject}})
	if err != nil {
		return err
	}
	defer unlock()
	tag := content.FallbackTag(subject)
	for attempt := 0; ; attempt++ {
		have, err := fallbackList(ctx, d.target, d.target, tag)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(slices.Clone(entries), func(e content.Descriptor) bool {
			return slices.ContainsFunc(have, func(h content.Descriptor) bool { return h.Digest == e.Digest })
		})
		if len(missing) == 0 {
			return nil
		}
		if attempt == listAttempts {
			return errors.New("others keep overwriting it")
		}
		raw, err := json.Marshal(ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: ocispec.MediaTypeImageIndex,
			Manifests: append(have, missing...),
		})
		if err != nil {
			return err
		}
		if _, err := d.target.PushManifest(ctx, content.NewDescriptor(ocispec.MediaTypeImageIndex, raw), raw, tag); err != nil {
			return err
		}
	}
}
