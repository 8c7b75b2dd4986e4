package registry

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// CheckWrite checks whether blobs can be written to the repository: it opens and cancels an
// upload, with its own slot and retries. The registry may create an empty repository, which it
// does not list.
func (r *Repository) CheckWrite(ctx context.Context) error {
	// No byte is sent: a registry learns the digest only at the end of an upload.
	u := &upload{r: r, d: content.Descriptor{Digest: digest.FromString("regsync: may I write?"), Size: 1}}
	return r.item(ctx, u.opening(), func(ctx context.Context, c call) error {
		if err := u.open(ctx, c); err != nil {
			return err
		}
		// Write access is confirmed. An account that may push may not always delete; the
		// registry then drops the upload itself.
		_ = u.Cancel(ctx)
		return nil
	})
}
