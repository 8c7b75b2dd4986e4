package transfer

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Copy copies an image with everything below it from one place to another, under the same name, which
// is a tag or a digest. It runs one job of an [Engine]; for more images, use the engine itself, so that
// they share blobs. Referrers, platforms and the policy for tags are set in a [Job].
func Copy(ctx context.Context, source content.Source, target content.Target, name string, options Options) (*Result, error) {
	at := func(l content.Location) reference.Reference {
		ref := reference.Reference{Transport: reference.Registry, Registry: l.Registry, Repository: l.Repository}
		if d := digest.Digest(name); d.Validate() == nil {
			return ref.WithDigest(d)
		}
		return ref.WithTag(name)
	}
	job := Job{RequireSource: true, Source: at(source.Location()), Destinations: []reference.Reference{at(target.Location())}}
	var result *Result
	err := New(opened{source, target}, options).Run(ctx, slices.Values([]Job{job}), func(r *Result) { result = r })
	if err == nil && result != nil {
		err = result.Err()
	}
	return result, err
}

// opened is an Opener that always returns the same two places.
type opened struct {
	source content.Source
	target content.Target
}

func (o opened) OpenSource(context.Context, reference.Reference) (content.Source, error) {
	return o.source, nil
}
func (o opened) OpenTarget(context.Context, reference.Reference) (content.Target, error) {
	return o.target, nil
}
