package main

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// localImage is an image of the local store in the words of docker inspect.
type localImage struct {
	ID          digest.Digest `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	MediaType   string
	Digest      digest.Digest
	Platforms   []string
	Created     *time.Time      `json:",omitempty"`
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

func (a *app) runInspect(ctx context.Context, names []string) error {
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
			shown.name(other)
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
	err = shown.describe(raw)
	if !image.Created.IsZero() {
		shown.Created = &image.Created
	}
	return shown, err
}

func (i *localImage) name(other store.Image) {
	if other.Reference.Tag != "" {
		i.RepoTags = append(i.RepoTags, other.Reference.WithTag(other.Reference.Tag).Familiar())
	}
	if d := other.Reference.WithDigest(other.Digest).Familiar(); !slices.Contains(i.RepoDigests, d) {
		i.RepoDigests = append(i.RepoDigests, d)
	}
}

// describe takes from the config what docker shows of it.
func (i *localImage) describe(raw []byte) error {
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	var whole struct {
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(raw, &whole); err != nil {
		return err
	}
	i.Created, i.Author, i.Config = config.Created, config.Author, whole.Config
	i.Architecture, i.Variant, i.Os = config.Architecture, config.Variant, config.OS
	i.RootFS = &rootFS{Type: config.RootFS.Type, Layers: config.RootFS.DiffIDs}
	return nil
}
