package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/format"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// inspectFlags are the flags of inspect.
type inspectFlags struct {
	remote   bool
	platform string
	format   string
}

func newInspectCommand(a *app) *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect IMAGE [IMAGE...]",
		Short: "Display detailed information on one or more images",
		Long: `Display detailed information on one or more images in the local store, as a JSON array with
the fields of docker inspect.

With --remote, images are read from their registry or OCI layout (oci:DIR) instead. The output
has the manifest and, for an index, its platforms; with --platform, the manifest and the config
of that platform. Docker Hub counts each manifest that is read as a pull.`,
		Example: `  regsync inspect nginx:1.25
  regsync inspect --format '{{json .Config.Env}}' nginx:1.25
  regsync inspect --remote nginx:1.25
  regsync inspect --remote --platform linux/arm64 --format '{{.Digest}}' nginx:1.25`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.remote:
				return runInspectRemote(cmd.Context(), a, args, f)
			case f.platform != "":
				return usagef("--platform needs --remote: the local store shows the host's platform")
			}
			return runInspect(cmd.Context(), a, args, formatFlag[localImage]{f.format})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.remote, "remote", false, "inspect the image at its registry or in its OCI layout")
	flags.StringVar(&f.platform, "platform", "", "with --remote, inspect this `PLATFORM` of an index: os/arch[/variant] or windows(VERSION)/arch")
	bindFormat(flags, &f.format, "f")
	return cmd
}

// inspectAll prints what look returns for each item, with printer unless it is nil. An item that fails stops no other.
func inspectAll[I, T any](
	ctx context.Context, a *app, items []I, printer *format.Format[T], look func(context.Context, I) (T, error),
) error {
	images := make([]T, 0, len(items))
	failed := &failures{items: "images"}
	for _, item := range items {
		image, err := look(ctx, item)
		failed.add(err)
		if err == nil {
			images = append(images, image)
		}
	}
	var err error
	switch {
	case printer != nil:
		err = printFormatted(a, printer, images)
	case a.flags.json():
		err = a.printJSON(imagesDocument(a, "regsync.inspect/v1", images, failed.err()))
	default: // as docker prints it
		err = a.printJSON(images)
	}
	return errors.Join(err, failed.err())
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
	ID          string `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	MediaType   string
	Digest      string
	Platforms   []string
	Created     string        `json:",omitempty"`
	Author      string        `json:",omitempty"`
	Config      imageSettings `json:",omitzero"`
	// Architecture to RootFS are those of the config; empty for an artifact.
	Architecture string `json:",omitempty"`
	Variant      string `json:",omitempty"`
	Os           string `json:",omitempty"`
	Size         int64
	RootFS       rootFS `json:",omitzero"`
}

// Id is ID for templates, which docker accepts with both names.
func (i localImage) Id() string { return i.ID } //nolint:revive // docker's name

type rootFS struct {
	Type   string
	Layers []string
}

// imageSettings are how an image runs. They have fields for templates, and are printed as they are.
type imageSettings struct {
	ocispec.ImageConfig
	Healthcheck any
	OnBuild     []string
	Shell       []string
	raw         json.RawMessage
}

func (s *imageSettings) UnmarshalJSON(raw []byte) error {
	type fields imageSettings
	err := json.Unmarshal(raw, (*fields)(s))
	s.raw = slices.Clone(raw)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil // the other fields are set, and the settings are printed as they are
	}
	return err
}

func (s imageSettings) MarshalJSON() ([]byte, error) { return s.raw.MarshalJSON() }

// IsZero makes encoding/json omit the settings of what has none.
func (s imageSettings) IsZero() bool { return s.raw == nil }

func runInspect(ctx context.Context, a *app, names []string, format formatFlag[localImage]) error {
	printer, err := format.parse(a)
	if err != nil {
		return err
	}
	local, err := a.store()
	if err != nil {
		return err
	}
	images, err := local.Images(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return failure
	}
	return inspectAll(ctx, a, names, printer, func(ctx context.Context, name string) (localImage, error) {
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
		ID: image.ID.String(), RepoTags: []string{}, RepoDigests: []string{}, MediaType: image.MediaType,
		Digest: image.Digest.String(), Platforms: formatPlatforms(image.Platforms), Size: image.Size,
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
		Config imageSettings `json:"config"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return localImage{}, err
	}
	if !image.Created.IsZero() {
		shown.Created = image.Created.Format(time.RFC3339Nano)
	}
	shown.Author, shown.Config = config.Author, config.Config
	shown.Architecture, shown.Variant, shown.Os = config.Architecture, config.Variant, config.OS
	shown.RootFS.Type = config.RootFS.Type
	for _, layer := range config.RootFS.DiffIDs {
		shown.RootFS.Layers = append(shown.RootFS.Layers, layer.String())
	}
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

// remoteFields is a [remoteImage] as a template sees it; it is printed as that is.
type remoteFields struct {
	Reference, Digest, MediaType string
	Size                         int64
	Platforms                    []remotePlatform
	Manifest, Config             any
	image                        *remoteImage
}

func (f remoteFields) MarshalJSON() ([]byte, error) { return json.Marshal(f.image) }

func (i *remoteImage) fields() (remoteFields, error) {
	f := remoteFields{
		Reference: i.Reference.String(), Digest: i.Digest.String(), MediaType: i.MediaType, Size: i.Size, Platforms: i.Platforms, image: i,
	}
	err := decodeAny(i.Manifest, &f.Manifest)
	if err == nil && i.Config != nil {
		err = decodeAny(i.Config, &f.Config)
	}
	return f, err
}

// decodeAny keeps numbers as they are written: a size is not to be printed as 1.5e+06.
func decodeAny(raw []byte, value *any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(value)
}

func runInspectRemote(ctx context.Context, a *app, names []string, f inspectFlags) error {
	printer, err := (&formatFlag[remoteFields]{f.format}).parse(a)
	if err != nil {
		return err
	}
	var wanted *content.Platform
	if f.platform != "" {
		p, err := content.ParsePlatform(f.platform)
		if err != nil {
			return &usageError{err}
		}
		wanted = &p
	}
	refs, err := parseAll(names, parseReference)
	if err != nil {
		return err
	}
	return inspectAll(ctx, a, refs, printer, func(ctx context.Context, ref reference.Reference) (remoteFields, error) {
		source, d, err := resolve(ctx, a, ref)
		if err != nil {
			return remoteFields{}, err
		}
		image, err := describeRemote(ctx, source, ref, d, wanted)
		if err != nil {
			return remoteFields{}, about(ref, err)
		}
		return image.fields()
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
