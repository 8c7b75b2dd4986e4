package backend

import (
	"context"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/reference"
)

// CheckWrite finds out whether the place of ref could be written to, and leaves nothing
// there: at a registry an upload is opened and cancelled, a directory is only looked at. A
// registry may make an empty repository by that, which it does not list.
func (o *Opener) CheckWrite(ctx context.Context, ref reference.Reference) error {
	switch ref.Transport {
	case reference.Registry:
		r, err := o.options.Registry.Target(ctx, ref)
		if err != nil {
			return err
		}
		return r.CheckWrite(ctx)
	case reference.Layout:
		return layout.CheckWrite(ref.Path)
	case reference.Store:
		_, err := o.Store()
		return err
	default:
		return &UnsupportedTransportError{ref.Transport}
	}
}
