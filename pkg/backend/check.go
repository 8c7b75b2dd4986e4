package backend

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// CheckWrite finds out whether the place of ref could be written to, and leaves nothing
// there: at a registry an upload is opened and cancelled, a directory is only looked at. A
// registry may make an empty repository by that, which it does not list.
func (o *Opener) CheckWrite(ctx context.Context, ref reference.Reference) error {
	switch ref.Transport {
	case reference.Registry:
		return o.checkRegistry(ctx, ref)
	case reference.Layout:
		return layout.CheckWrite(ref.Path)
	case reference.Store:
		_, err := o.Store()
		return err
	default:
		return &UnsupportedTransportError{ref.Transport}
	}
}

func (o *Opener) checkRegistry(ctx context.Context, ref reference.Reference) error {
	target, err := o.OpenTarget(ctx, ref)
	if err != nil {
		return err
	}
	// Nothing is sent of it: a registry learns the digest only at the end of an upload.
	never := content.Descriptor{Digest: digest.FromString("regsync: may I write?"), Size: 1}
	upload, err := target.StartUpload(ctx, never)
	if err != nil {
		return err
	}
	// The answer was given. Who may push may not always delete, and then the registry drops the
	// upload by itself.
	_ = upload.Cancel(ctx)
	return nil
}
