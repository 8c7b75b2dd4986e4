package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

func newInspectCommand(a *app) *cobra.Command {
	var remote bool
	var platform string
	cmd := &cobra.Command{
		Use:   "inspect IMAGE...",
		Short: "Show an image in detail, as JSON",
		Long: `Show images of the local store in detail, as docker inspect does: an array of JSON.

With --remote, show what a registry (or any other place) has: the manifest, and for an index
its platforms; with --platform, the manifest and the config of that platform. Every manifest
that is read counts as a pull at Docker Hub.`,
		Example: `  regsync inspect nginx:1.25
  regsync inspect --remote nginx:1.25
  regsync inspect --remote --platform linux/arm64 nginx:1.25`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case remote:
				return runInspectRemote(cmd.Context(), a, args, platform)
			case platform != "":
				return usagef("--platform needs --remote: the local store shows the host's platform")
			}
			return runInspect(cmd.Context(), a, args)
		},
	}
	cmd.Flags().BoolVar(&remote, "remote", false, "look at the place that the reference names, not in the local store")
	cmd.Flags().StringVar(&platform, "platform", "", "`PLATFORM` to show of an index, os/arch[/variant] or windows(VERSION)/arch")
	return cmd
}

// inspectAll prints what look returns for each item. An item that fails stops no other.
func inspectAll[I, T any](ctx context.Context, a *app, items []I, look func(context.Context, I) (T, error)) error {
	images := make([]T, 0, len(items))
	var failed failures
	for _, item := range items {
		image, err := look(ctx, item)
		failed.add(err)
		if err == nil {
			images = append(images, image)
		}
	}
	var document any = images // as docker prints it
	if a.flags.json() {
		document = imagesDocument(a, "regsync.inspect/v1", images, failed.err())
	}
	return errors.Join(a.printJSON(document), failed.err())
}

// readConfig reads the config of an image.
func readConfig(ctx context.Context, from content.BlobFetcher, d content.Descriptor) ([]byte, error) {
	raw, err := content.ReadBlob(ctx, from, d)
	if err != nil {
		return nil, &content.PartError{Part: d, Err: fmt.Errorf("config %s: %w", d.Digest, err)}
	}
	return raw, nil
}

// localImage is an image of the local store, with the names that docker inspect has for its properties.
type localImage struct {
	ID          digest.Digest `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	MediaType   string
	Digest      digest.Digest
	Platforms   []string
	Created     time.Time       `json:",omitzero"`
	Author      string          `json:",omitempty"`
	Config      json.RawMessage `json:",omitempty"`
	// Architecture to RootFS are those of the config; empty for an artifact.
	Architecture string `json:",omitempty"`
	Variant      string `json:",omitempty"`
	Os           string `json:",omitempty"`
	Size         int64
	RootFS       *rootFS `json:",omitempty"`
}

type rootFS struct {
	Type   string
	Layers []digest.Digest
}

func runInspect(ctx context.Context, a *app, names []string) error {
	local, err := a.store()
	if err != nil {
		return err
	}
	images, err := local.Images(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return failure
	}
	return inspectAll(ctx, a, names, func(ctx context.Context, name string) (localImage, error) {
		image, err := local.Find(ctx, name)
		if err != nil {
			return localImage{}, storeError(name, err)
		}
		return inspectLocal(ctx, local, image, images)
	})
}

func inspectLocal(ctx context.Context, local *store.Store, image store.Image, all []store.Image) (localImage, error) {
	if image.Err != nil {
		return localImage{}, image.Err
	}
	shown := localImage{
		ID: image.ID, RepoTags: []string{}, RepoDigests: []string{}, MediaType: image.MediaType,
		Digest: image.Digest, Platforms: formatPlatforms(image.Platforms), Size: image.Size,
	}
	for _, other := range all {
		if other.ID == image.ID && other.Reference != (reference.Reference{}) {
			shown.addName(other)
		}
	}
	at := slices.IndexFunc(image.Blobs, func(d content.Descriptor) bool { return d.Digest == image.ID })
	if at < 0 || image.ID == image.Digest {
		return shown, nil
	}
	raw, err := readConfig(ctx, local.Repository(image.Reference), image.Blobs[at])
	if err != nil {
		return localImage{}, err
	}
	var config struct {
		content.ImageConfig
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return localImage{}, err
	}
	shown.Created, shown.Author, shown.Config = image.Created, config.Author, config.Config
	shown.Architecture, shown.Variant, shown.Os = config.Architecture, config.Variant, config.OS
	shown.RootFS = &rootFS{Type: config.RootFS.Type, Layers: config.RootFS.DiffIDs}
	return shown, nil
}

func (i *localImage) addName(other store.Image) {
	if other.Reference.Tag != "" {
		i.RepoTags = append(i.RepoTags, other.Reference.WithTag(other.Reference.Tag).Familiar())
	}
	if d := other.Reference.WithDigest(other.Digest).Familiar(); !slices.Contains(i.RepoDigests, d) {
		i.RepoDigests = append(i.RepoDigests, d)
	}
}

// remoteImage is what a place has under a reference.
type remoteImage struct {
	Reference reference.Reference `json:"reference"`
	Digest    digest.Digest       `json:"digest"`
	MediaType string              `json:"mediaType"`
	Size      int64               `json:"size"`
	// Platforms are the children of an index.
	Platforms []remotePlatform `json:"platforms,omitempty"`
	// Manifest is as it was read: that of the platform, if one was given.
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

func runInspectRemote(ctx context.Context, a *app, names []string, platform string) error {
	var wanted *content.Platform
	if platform != "" {
		p, err := content.ParsePlatform(platform)
		if err != nil {
			return &usageError{err}
		}
		wanted = &p
	}
	refs, err := parseAll(names, parseReference)
	if err != nil {
		return err
	}
	return inspectAll(ctx, a, refs, func(ctx context.Context, ref reference.Reference) (*remoteImage, error) {
		source, d, err := resolve(ctx, a, ref)
		if err != nil {
			return nil, err
		}
		image, err := describeRemote(ctx, source, ref, d, wanted)
		if err != nil {
			return nil, about(ref, err)
		}
		return image, nil
	})
}

func describeRemote(
	ctx context.Context, source content.Source, ref reference.Reference, d content.Descriptor, platform *content.Platform,
) (*remoteImage, error) {
	m, err := content.FetchResolved(ctx, source, ref.Identifier(), d)
	if err != nil {
		return nil, err
	}
	image := &remoteImage{Reference: ref, Digest: m.Descriptor.Digest, MediaType: m.Descriptor.MediaType, Size: m.Descriptor.Size}
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
func fetchPlatform(
	ctx context.Context, source content.Source, index *content.Manifest, wanted content.Platform,
) (*content.Manifest, error) {
	matching := slices.DeleteFunc(slices.Clone(index.Manifests), func(child content.Descriptor) bool {
		return child.Platform == nil || !content.MatchPlatform(wanted, *child.Platform)
	})
	if len(matching) > 0 {
		child := content.PreferPlatform(matching)
		m, err := content.FetchAndParse(ctx, source, child)
		if err != nil {
			return nil, &content.PartError{Part: child, Err: err}
		}
		return m, nil
	}
	return nil, fmt.Errorf("%s: %w", content.FormatPlatform(wanted), transfer.ErrNoPlatform)
}
