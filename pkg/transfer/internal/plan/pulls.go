package plan

import (
	"context"

	"github.com/regsync/regsync/pkg/content"
)

// beginPulls reserves what is known to be needed before the source's manifest d is read: one pull for an
// image. An index needs one for itself and one for each child; how many those are is remembered from an
// earlier run, or known after it was read.
func (p *planning) beginPulls(ctx context.Context, d content.Descriptor) error {
	if p.From.Pulls == nil || p.From.Manifests.Has(d) {
		return nil
	}
	n, atLeast := 1, false
	if content.IsIndex(d.MediaType) {
		n, atLeast = p.indexPulls(d)
	}
	err := p.From.Pulls.Begin(ctx, n, atLeast)
	if err != nil && p.From.Manifests.Has(d) { // an image with the same digest was read meanwhile
		return nil
	}
	return err
}

// indexPulls is how many manifests an index takes. atLeast: there may be more.
func (p *planning) indexPulls(index content.Descriptor) (n int, atLeast bool) {
	if len(p.Platforms) == 0 && !p.OmitAttestations && p.run.Children != nil {
		if below, known := p.run.Children.Children(index.Digest); known {
			return 1 + len(below), false
		}
	}
	return 2, len(p.Platforms) != 1
}

// reserveChildren reserves a pull for each child of an index that was not read yet. An image whose children do not all
// fit into the quota is not begun.
func (p *planning) reserveChildren(index *content.Manifest) error {
	if p.From.Pulls == nil {
		return nil
	}
	n := 0
	for _, child := range index.Manifests {
		if !content.IsBlob(child.MediaType) && !p.From.Manifests.Has(child) {
			n++
		}
	}
	return p.From.Pulls.Reserve(n)
}
