package content

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Date is when something was created, as the configuration of an image states it. The zero time means that no
// date is known: none is stated, it is unreadable, or it is before 1990, as reproducible builds write it.
type Date struct {
	time.Time
	// Err is set if something is stated that is not a date. It is an [ErrInvalid].
	Err error
}

// firstYear is the year before which nothing is a date.
const firstYear = 1990

// UnmarshalJSON reads any JSON value, and returns no error: one bad date does not make a configuration unreadable.
func (d *Date) UnmarshalJSON(raw []byte) error {
	*d = Date{}
	if string(raw) == "null" || string(raw) == `""` {
		return nil
	}
	var at time.Time
	if err := json.Unmarshal(raw, &at); err != nil {
		d.Err = fmt.Errorf("invalid creation date %.100s, want a time such as \"2026-01-02T15:04:05Z\": %w", raw, ErrInvalid)
	} else if at.Year() >= firstYear {
		d.Time = at
	}
	return nil
}

// ImageConfig is the configuration of an image, whatever its dates are.
type ImageConfig struct {
	ocispec.Image
	Created Date    `json:"created"`
	History []Build `json:"history"`
}

// Build is a step of the build of an image.
type Build struct {
	ocispec.History
	Created Date `json:"created"`
}

// Created returns when an image was created, as the [Date] in its configuration states; for an index, when
// the newest image in it was, because a rebuild of one platform makes a new index. It returns zero if no
// date is known, or if m is not an image. It reads the manifest and the configuration of each image.
// Attestations are not read, and images that are not found are skipped. Errors are an [ErrInvalid]
// if a bound of the default [Limits] is exceeded.
func Created(ctx context.Context, manifests ManifestFetcher, blobs BlobFetcher, m *Manifest) (newest time.Time, err error) {
	budget := NewBudget(Limits{})
	if err := budget.Count(m); err != nil {
		return time.Time{}, err
	}
	w := &walker{from: manifests, budget: budget, imagesOnly: true, found: map[digest.Digest]*Manifest{}}
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
		Created Date `json:"created"`
	}
	_ = json.Unmarshal(raw, &image) // what is not JSON states no date
	return image.Created.Time, nil
}
