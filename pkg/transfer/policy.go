package transfer

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// guard applies the job's policy to the tags that would move. A tag that is not there is
// refused by none of these rules. root is the image's manifest, where it was read already.
func (p *planner) guard(ctx context.Context, root *content.Manifest) error {
	for i := range p.plan.Destinations {
		d := &p.plan.Destinations[i]
		switch overwrite := p.plan.Job.Overwrite; {
		case d.Err != nil || d.Action != ActionMove:
		case p.plan.Job.Immutable:
			d.skip(Rule{Kind: RuleImmutable}) // Previous says which
		case overwrite == OverwriteNever:
			d.skip(Rule{Kind: RuleNever})
		case overwrite == OverwriteNewer:
			return p.keepNewer(ctx, root)
		}
	}
	return nil
}

// keepNewer skips destinations whose image is not older than the source's. It costs what
// [created] reads of the source, once, and of each destination whose tag would move; an
// image that does move needs the source's manifests anyway.
func (p *planner) keepNewer(ctx context.Context, root *content.Manifest) error {
	if root == nil {
		var err error
		if root, err = content.FetchAndParse(ctx, p.manifests, p.plan.Image); err != nil {
			return err
		}
	}
	ours, err := created(ctx, p.manifests, p.plan.source, root)
	if err != nil {
		return err
	}
	var asking sync.WaitGroup
	for i := range p.plan.Destinations {
		if d := &p.plan.Destinations[i]; d.Err == nil && d.Action == ActionMove {
			asking.Go(func() { d.keepNewer(ctx, p.engine.manifests.Reader(d.target), ours) })
		}
	}
	asking.Wait()
	return nil
}

// keepNewer skips the destination unless its image is known to be older than ours.
func (p *DestinationPlan) keepNewer(ctx context.Context, manifests content.ManifestFetcher, ours time.Time) {
	if ours.IsZero() {
		p.skip(Rule{Kind: RuleSourceUndated})
		return
	}
	root, err := content.FetchAndParse(ctx, manifests, p.there)
	var theirs time.Time
	if err == nil {
		theirs, err = created(ctx, manifests, p.target, root)
	}
	switch {
	case err != nil:
		p.Action, p.Err = ActionNone, onSide(SideDestination, p.Reference, err)
	case theirs.IsZero():
		p.skip(Rule{Kind: RuleDestinationUndated})
	case theirs.Equal(ours):
		p.skip(Rule{Kind: RuleSameAge, Found: Found{SourceCreated: ours, DestinationCreated: theirs}})
	case theirs.After(ours):
		p.skip(Rule{Kind: RuleNewer, Found: Found{SourceCreated: ours, DestinationCreated: theirs}})
	}
}

// limitSize skips the destinations that lack an image that is too large. What counts is what
// its manifests say, each blob once; no blob is read.
func (p *planner) limitSize() {
	limit := p.plan.Job.MaxSize
	if limit <= 0 || !slices.ContainsFunc(p.plan.Destinations, DestinationPlan.pending) {
		return
	}
	size := p.size()
	if size <= limit {
		return
	}
	for i := range p.plan.Destinations {
		if d := &p.plan.Destinations[i]; d.pending() {
			d.skip(Rule{Kind: RuleMaxSize, Limit: limit, Found: Found{Size: size}})
		}
	}
}

// size is that of the blobs that a destination of the image has, in bytes.
func (p *planner) size() int64 {
	var sum int64
	for blob := range p.plan.tree.Blobs() {
		if content.IsForeign(blob) && !p.plan.Job.ForeignLayers {
			continue
		}
		if sum += blob.Size; sum < 0 { // a registry may say anything
			return math.MaxInt64
		}
	}
	return sum
}
