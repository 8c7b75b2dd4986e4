package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Image is one name of an image, or an image without a name.
type Image struct {
	// Reference is the name as a registry would know it. Its tag is empty and its digest
	// set for an image that was pulled by digest. It is the zero value for an image of
	// which no repository is known.
	Reference reference.Reference
	// Digest is that of the top manifest.
	Digest    digest.Digest
	MediaType string
	// ID is the digest of the config, as Docker shows it; of an index, that of the image
	// for the host's platform, or else of its first. What has no such config, an artifact,
	// has its manifest's digest.
	ID digest.Digest
	// Created is when the newest image below the manifest was made ([content.Created]).
	Created time.Time
	// Size is the bytes on disk: manifests, configs and layers as they are stored, each
	// once, of all platforms that are here.
	Size int64
	// Unique is the part of Size that no image of another ID needs.
	Unique int64
	// Platforms are those that are here; empty for an artifact.
	Platforms []content.Platform
	// Blobs are all that Size counts.
	Blobs []content.Descriptor
	// Err is why the image cannot be read. Only Reference, Digest and MediaType are set
	// then, and an ID that equals the digest.
	Err error

	name   string   // as the entry has it
	seen   []string // repositories that have it
	layers *content.Manifest
	config ocispec.Image
}

// Images lists what is in the store, the newest first. Referrers are not listed. An image
// that cannot be read is listed with its error and hides no other. With a
// [content.InvalidNamesError] the list lacks the entries without a valid digest.
func (s *Store) Images(ctx context.Context) ([]Image, error) {
	entries, err := s.layout.Entries(ctx)
	invalid, failure := content.SplitInvalidNames(err)
	if failure != nil {
		return nil, failure
	}
	read := map[digest.Digest]*Image{}
	var images []Image
	for _, entry := range entries {
		image := read[entry.Digest]
		if image == nil {
			image = s.read(ctx, entry)
			read[entry.Digest] = image
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		named := *image
		named.name, named.Reference, named.seen = entryName(entry), entryReference(entry), seenAt(entry)
		if content.IsAttachedTag(named.name) {
			continue // a list of referrers; what has a name of ours has a repository
		}
		if named.name != "" || image.layers == nil || image.layers.Subject == nil {
			images = append(images, named)
		}
	}
	countUnique(images)
	slices.SortStableFunc(images, func(a, b Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.name, b.name))
	})
	if invalid != nil {
		return images, invalid
	}
	return images, nil
}

// read reads all of an image but its layers.
func (s *Store) read(ctx context.Context, entry content.Descriptor) *Image {
	image := &Image{Digest: entry.Digest, MediaType: entry.MediaType, ID: entry.Digest}
	r := &reader{store: s, image: image, seen: map[digest.Digest]bool{}}
	root, err := content.FetchAndParse(ctx, s.layout, entry)
	if err == nil {
		err = r.walk(ctx, root)
	}
	if err == nil {
		image.Created, err = content.Created(ctx, s.layout, s.layout, root)
	}
	if err != nil {
		image.Err = err
		return image
	}
	if r.chosen != nil {
		image.layers, image.config = r.chosen.manifest, r.chosen.config
		if r.chosen.hasConfig() {
			image.ID = r.chosen.manifest.Config.Digest
		}
	}
	return image
}

// reader collects what an image consists of.
type reader struct {
	store  *Store
	image  *Image
	seen   map[digest.Digest]bool
	chosen *leaf // what gives the image its ID
}

type leaf struct {
	manifest *content.Manifest
	config   ocispec.Image
}

func (r *reader) walk(ctx context.Context, m *content.Manifest) error {
	r.add(m.Descriptor)
	for _, blob := range m.Blobs() {
		if !content.IsForeign(blob) || r.store.has(ctx, blob) {
			r.add(blob)
		}
	}
	for _, d := range m.Manifests {
		if r.seen[d.Digest] {
			continue
		}
		child, err := content.FetchChild(ctx, r.store.layout, d)
		switch {
		case errors.Is(err, content.ErrNotFound): // other tools store parts of an index
		case err != nil:
			return err
		case child != nil:
			if err := r.walk(ctx, child); err != nil {
				return err
			}
		case r.store.has(ctx, d):
			r.add(d)
		}
	}
	if m.IsIndex() {
		return nil
	}
	return r.choose(ctx, m)
}

func (r *reader) add(d content.Descriptor) {
	if !r.seen[d.Digest] {
		r.seen[d.Digest] = true
		r.image.Blobs = append(r.image.Blobs, d)
		r.image.Size += d.Size
	}
}

// choose takes m for the image's ID if it is better than what was found before: the host's
// platform, then any platform, then anything.
func (r *reader) choose(ctx context.Context, m *content.Manifest) error {
	found := &leaf{manifest: m}
	if found.hasConfig() {
		if err := r.store.readConfig(ctx, *m.Config, &found.config); err != nil {
			return err
		}
	}
	if found.runnable() {
		r.image.Platforms = append(r.image.Platforms, found.config.Platform)
	}
	if r.chosen == nil || found.rank() > r.chosen.rank() {
		r.chosen = found
	}
	return nil
}

// hasConfig reports whether the configuration is an image's, not that of an artifact.
func (l *leaf) hasConfig() bool {
	return l.manifest.Config != nil && content.IsImageConfig(l.manifest.Config.MediaType)
}

// runnable tells images from attestations, whose platform is "unknown/unknown".
func (l *leaf) runnable() bool { return l.config.OS != "" && l.config.OS != "unknown" }

func (l *leaf) rank() int {
	switch {
	case !l.runnable():
		return 0
	case content.MatchPlatform(content.HostPlatform(), l.config.Platform):
		return 2
	default:
		return 1
	}
}

// readConfig reads the config of an image. It is bounded like a manifest.
func (s *Store) readConfig(ctx context.Context, d content.Descriptor, into *ocispec.Image) error {
	if d.Size > content.MaxManifestSize {
		return &configError{d.Digest, content.ErrInvalid}
	}
	stream, err := s.layout.FetchBlob(ctx, d)
	if err != nil {
		return err
	}
	defer stream.Close()
	raw, err := io.ReadAll(content.NewStream(stream, d))
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return &configError{d.Digest, err}
	}
	return nil
}

type configError struct {
	digest digest.Digest
	err    error
}

func (e *configError) Error() string { return "config " + e.digest.String() + ": " + e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

func (s *Store) has(ctx context.Context, d content.Descriptor) bool {
	stream, err := s.layout.FetchBlob(ctx, d)
	if err == nil {
		_ = stream.Close()
	}
	return err == nil
}

// countUnique finds out what images share. Two names of one image share nothing with each
// other.
func countUnique(images []Image) {
	users := map[digest.Digest]map[digest.Digest]bool{}
	for _, image := range images {
		for _, blob := range image.Blobs {
			if users[blob.Digest] == nil {
				users[blob.Digest] = map[digest.Digest]bool{}
			}
			users[blob.Digest][image.ID] = true
		}
	}
	for i := range images {
		for _, blob := range images[i].Blobs {
			if len(users[blob.Digest]) == 1 {
				images[i].Unique += blob.Size
			}
		}
	}
}

// entryName is an entry's full name; empty where it has none.
func entryName(entry content.Descriptor) string {
	if name := entry.Annotations["io.containerd.image.name"]; name != "" {
		return name
	}
	return entry.Annotations[ocispec.AnnotationRefName]
}

func entryReference(entry content.Descriptor) reference.Reference {
	if name := entryName(entry); name != "" {
		ref, err := reference.Parse(name)
		if err != nil {
			return reference.Reference{}
		}
		return ref
	}
	for _, repository := range seenAt(entry) {
		if ref, err := reference.ParseRepository(repository); err == nil {
			return ref.WithDigest(entry.Digest)
		}
	}
	return reference.Reference{}
}

func shortID(id digest.Digest) string {
	_, encoded, _ := strings.Cut(id.String(), ":")
	return encoded[:min(12, len(encoded))]
}
