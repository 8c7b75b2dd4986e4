package content

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Created returns when an image was created, as its configuration states; for an index, when the newest
// image in it was, because a rebuild of one platform makes a new index. It returns zero if no time is
// stated, or if m is not an image. It reads the manifest and the configuration of each image.
// Attestations are not read, and images that are not found are skipped. Errors are an [ErrInvalid]
// if a bound of the default [Limits] is exceeded.
func Created(ctx context.Context, manifests ManifestFetcher, blobs BlobFetcher, m *Manifest) (newest time.Time, err error) {
	budget := NewBudget(Limits{})
	if err := budget.Count(m); err != nil {
		return time.Time{}, err
	}
	w := newWalker(manifests, budget)
	w.imagesOnly = true
	if err := w.descend(ctx, m); err != nil {
		return time.Time{}, err
	}
	made := make(chan time.Time, len(w.found))
	room := semaphore.NewWeighted(readingBytes)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for _, image := range w.found {
		if image == nil || image.Config == nil {
			continue
		}
		group.Go(func() error {
			size := min(image.Config.Size, maxSmallBlob) // what is larger is not read
			if err := room.Acquire(ctx, size); err != nil {
				return context.Cause(ctx)
			}
			defer room.Release(size)
			at, err := configCreated(ctx, blobs, *image.Config)
			made <- at
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return time.Time{}, err
	}
	close(made)
	for at := range made {
		if at.After(newest) {
			newest = at
		}
	}
	return newest, nil
}

func configCreated(ctx context.Context, from BlobFetcher, config Descriptor) (time.Time, error) {
	raw, err := FetchImageConfig(ctx, from, config)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	var image struct {
		Created string `json:"created"`
	}
	_ = json.Unmarshal(raw, &image)                  // what is no JSON states none
	at, _ := time.Parse(time.RFC3339, image.Created) // zero where it is none
	return at, nil
}
