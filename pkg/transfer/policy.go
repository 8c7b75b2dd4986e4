package transfer

import (
	"context"
	"math"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/plan"
)

// policy applies the rules of a job to one destination.
type policy struct {
	image *image
	from  *plan.Source
	to    *DestinationPlan
}

var _ plan.Policy = (*policy)(nil)

func (y *policy) refuse(p *plan.Plan, rule Rule) { p.Refused, y.to.Rule = true, rule }

// Move implements plan.Policy. These rules concern existing tags only.
func (y *policy) Move(ctx context.Context, p *plan.Plan) error {
	switch job := &y.image.job; {
	case job.Immutable:
		y.refuse(p, Rule{Kind: RuleImmutable})
	case job.Overwrite == OverwriteNever:
		y.refuse(p, Rule{Kind: RuleNever})
	case job.Overwrite == OverwriteNewer:
		return y.keepNewer(ctx, p)
	}
	return nil
}

// keepNewer refuses the image unless the destination's is known to be older. It makes the requests of
// [content.Created] at both sides; if the tag moves, the source's manifests are needed anyway.
func (y *policy) keepNewer(ctx context.Context, p *plan.Plan) error {
	from := y.from
	root, err := p.Root(ctx, from)
	var ours, theirs time.Time
	if err == nil {
		ours, err = content.Created(ctx, from.Manifests, from, root)
	}
	if err != nil {
		return err
	}
	if ours.IsZero() {
		y.refuse(p, Rule{Kind: RuleSourceUndated})
		return nil
	}
	manifests := y.image.engine.manifests.Reader(y.to.target)
	if root, err = content.FetchAndParse(ctx, manifests, p.There); err == nil {
		theirs, err = content.Created(ctx, manifests, y.to.target, root)
	}
	switch {
	case err != nil:
		p.Err = err
	case theirs.IsZero():
		y.refuse(p, Rule{Kind: RuleDestinationUndated})
	case theirs.Equal(ours):
		y.refuse(p, Rule{Kind: RuleSameAge, Found: Found{SourceCreated: ours, DestinationCreated: theirs}})
	case theirs.After(ours):
		y.refuse(p, Rule{Kind: RuleNewer, Found: Found{SourceCreated: ours, DestinationCreated: theirs}})
	}
	return nil
}

// Copy implements plan.Policy. The size is what the manifests say, each blob once; no blob is read.
func (y *policy) Copy(p *plan.Plan) {
	limit := y.image.job.MaxSize
	if limit <= 0 {
		return
	}
	var size int64
	for blob := range p.Tree.Blobs() {
		if content.IsForeign(blob) && !y.image.job.ForeignLayers {
			continue
		}
		if size += blob.Size; size < 0 { // overflow: a manifest may state any size
			size = math.MaxInt64
			break
		}
	}
	if size > limit {
		y.refuse(p, Rule{Kind: RuleMaxSize, Limit: limit, Found: Found{Size: size}})
	}
}
