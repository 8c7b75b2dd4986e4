package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Step is one step of an image's build.
type Step struct {
	// Created is when it was made, the zero time where nobody says.
	Created   time.Time
	CreatedBy string
	Comment   string
	// Layer is what the step added; empty for a step that changed the config alone.
	Layer digest.Digest
	// Size is the layer's, in bytes as it is stored.
	Size int64
}

// History is how the image that gives nameOrID its ID was built, the last step first, as
// docker history shows it. Layers of which the config tells nothing are steps of their own.
func (s *Store) History(ctx context.Context, nameOrID string) ([]Step, error) {
	image, err := s.Find(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	if image.Err != nil {
		return nil, fmt.Errorf("history of %s: %w", image.title(), image.Err)
	}
	if image.layers == nil {
		return nil, fmt.Errorf("history of %s: no platform of it is here: %w", image.title(), content.ErrNotFound)
	}
	steps := History(image.config, image.layers.Layers)
	slices.Reverse(steps)
	return steps, nil
}

// History joins a config's history with the layers of its manifest, the first step first.
func History(config ocispec.Image, layers []content.Descriptor) []Step {
	var steps []Step
	for _, h := range config.History {
		step := Step{CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			step.Created = *h.Created
		}
		if !h.EmptyLayer && len(layers) > 0 {
			step.Layer, step.Size = layers[0].Digest, layers[0].Size
			layers = layers[1:]
		}
		steps = append(steps, step)
	}
	for _, layer := range layers {
		steps = append(steps, Step{Layer: layer.Digest, Size: layer.Size})
	}
	return steps
}
