package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// remoteImage is what a place has under a reference.
type remoteImage struct {
	Reference reference.Reference `json:"reference"`
	Digest    digest.Digest       `json:"digest"`
	MediaType string              `json:"mediaType"`
	Size      int64               `json:"size"`
	// Platforms are the children of an index.
	Platforms []remotePlatform `json:"platforms,omitempty"`
	// Manifest is as it was read: of the platform, where one was asked for.
	Manifest json.RawMessage `json:"manifest"`
	// Config is an image's; absent for an index and for an artifact.
	Config json.RawMessage `json:"config,omitempty"`
}

type remotePlatform struct {
	// Platform is absent where the index does not state one.
	Platform string        `json:"platform,omitempty"`
	Digest   digest.Digest `json:"digest"`
	Size     int64         `json:"size"`
}

func (a *app) runInspectRemote(ctx context.Context, names []string, platform string) error {
	var wanted *content.Platform
	if platform != "" {
		p, err := content.ParsePlatform(platform)
		if err != nil {
			return &usageError{err}
		}
		wanted = &p
	}
	refs, err := parseReferences(names)
	if err != nil {
		return err
	}
	return inspectAll(ctx, a, refs, func(ctx context.Context, ref reference.Reference) (*remoteImage, error) {
		return a.inspectRemote(ctx, ref, wanted)
	})
}

func (a *app) inspectRemote(ctx context.Context, ref reference.Reference, platform *content.Platform) (*remoteImage, error) {
	source, d, err := a.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	image, err := describeRemote(ctx, source, ref.Identifier(), d, platform)
	if err != nil {
		return nil, about(ref, err)
	}
	image.Reference = ref
	return image, nil
}

func describeRemote(ctx context.Context, source content.Source, reference string, d content.Descriptor, platform *content.Platform) (*remoteImage, error) {
	m, err := content.FetchResolved(ctx, source, reference, d)
	if err != nil {
		return nil, err
	}
	image := &remoteImage{Digest: m.Descriptor.Digest, MediaType: m.Descriptor.MediaType, Size: m.Descriptor.Size}
	for _, child := range m.Manifests {
		p := remotePlatform{Digest: child.Digest, Size: child.Size}
		if child.Platform != nil {
			p.Platform = content.FormatPlatform(*child.Platform)
		}
		image.Platforms = append(image.Platforms, p)
	}
	if m.IsIndex() && platform != nil {
		if m, err = fetchPlatform(ctx, source, m, *platform); err != nil {
			return nil, err
		}
	}
	image.Manifest = m.Raw
	if m.Config != nil && content.IsImageConfig(m.Config.MediaType) {
		image.Config, err = readConfig(ctx, source, *m.Config)
	}
	return image, err
}

// fetchPlatform reads the child of an index that is for a platform.
func fetchPlatform(ctx context.Context, source content.Source, index *content.Manifest, wanted content.Platform) (*content.Manifest, error) {
	matching := slices.DeleteFunc(slices.Clone(index.Manifests), func(child content.Descriptor) bool {
		return child.Platform == nil || !content.MatchPlatform(wanted, *child.Platform)
	})
	if len(matching) > 0 {
		return content.FetchAndParse(ctx, source, content.PreferPlatform(matching))
	}
	return nil, fmt.Errorf("%s: %w", content.FormatPlatform(wanted), transfer.ErrNoPlatform)
}
