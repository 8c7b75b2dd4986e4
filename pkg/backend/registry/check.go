package registry

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// CheckWrite finds out whether blobs can be written to the repository, by an upload that is
// opened and cancelled. It waits for its slot, and is tried again where that makes sense. The
// registry may make an empty repository by that, which it does not list.
func (r *Repository) CheckWrite(ctx context.Context) error {
	// Nothing is sent of it: a registry learns the digest only at the end of an upload.
	u := &upload{r: r, d: content.Descriptor{Digest: digest.FromString("regsync: may I write?"), Size: 1}}
	return r.item(ctx, u.opening(), func(ctx context.Context, c call) error {
		if err := u.open(ctx, c); err != nil {
			return err
		}
		// The answer was given. Who may push may not always delete, and then the registry drops
		// the upload by itself.
		_ = u.Cancel(ctx)
		return nil
	})
}
