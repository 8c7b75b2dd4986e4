package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/layout"
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
	// DateErr says that something is stated as the date of an image that is not a date. It is a [content.ErrInvalid].
	DateErr error
	// Err is why the image cannot be read. Only Reference, Digest and MediaType are set
	// then, and an ID that equals the digest.
	Err error

	name   string   // as the entry has it
	seen   []string // repositories that have it
	layers *content.Manifest
	config content.ImageConfig
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
		named.name, named.Reference, named.seen = layout.FullName(entry), entryReference(entry), seenAt(entry)
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
	if image.Err = err; err == nil && r.chosen != nil {
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
	config   content.ImageConfig
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
		raw, err := content.ReadBlob(ctx, r.store.layout, *m.Config)
		if err == nil {
			err = json.Unmarshal(raw, &found.config)
		}
		if err != nil {
			return fmt.Errorf("config %s: %w", m.Config.Digest, err)
		}
	}
	if err := found.config.Created.Err; err != nil {
		r.image.DateErr = cmp.Or(r.image.DateErr, err)
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

func entryReference(entry content.Descriptor) reference.Reference {
	if name := layout.FullName(entry); name != "" {
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

// AmbiguousError says that the first characters of an ID fit several images.
type AmbiguousError struct {
	Prefix string
	// Images are those it fits, one for each ID.
	Images []Image
}

func (e *AmbiguousError) Error() string {
	var fits []string
	for _, image := range e.Images {
		fits = append(fits, shortID(image.ID)+" ("+image.title()+")")
	}
	return fmt.Sprintf("image ID %q is ambiguous: it matches %s", e.Prefix, strings.Join(fits, ", "))
}

// title is how people know the image.
func (i Image) title() string {
	switch {
	case i.Reference != (reference.Reference{}):
		return i.Reference.Familiar()
	case i.name != "":
		return i.name
	default:
		return "<none>"
	}
}

// Find finds an image by name, by digest, or by the first characters of its ID; a name
// wins, as with Docker. It returns a [content.ErrNotFound] where there is none, and an
// [AmbiguousError] where several IDs begin so.
func (s *Store) Find(ctx context.Context, nameOrID string) (Image, error) {
	images, err := s.Images(ctx)
	if _, failure := content.SplitInvalidNames(err); failure != nil {
		return Image{}, failure
	}
	found, _, err := find(images, nameOrID)
	if err != nil {
		return Image{}, err
	}
	return found[0], nil
}

// find returns all images that nameOrID means, and whether it is an ID. REPOSITORY@DIGEST is one if the image has no
// name in that repository here.
func find(images []Image, nameOrID string) (found []Image, byID bool, err error) {
	ref, parseErr := reference.Parse(nameOrID)
	if parseErr == nil {
		if found := filter(images, func(i Image) bool { return i.hasName(ref) }); len(found) > 0 {
			return found, false, nil
		}
		if found := filter(images, func(i Image) bool { return i.wasSeenAs(ref) }); len(found) > 0 {
			return found, true, nil
		}
	}
	if found := filter(images, func(i Image) bool { return i.name != "" && i.name == nameOrID }); len(found) > 0 {
		return found, false, nil
	}
	if prefix, is := idPrefix(nameOrID); is {
		found, err := findByID(images, prefix)
		if len(found) > 0 || err != nil {
			return found, true, err
		}
	} else if parseErr != nil {
		return nil, false, parseErr
	}
	return nil, false, fmt.Errorf("no image %q in the local store: %w", nameOrID, content.ErrNotFound)
}

// hasName reports whether the image is what ref names, whatever the transport.
// An image without a name is what each of its repositories calls by the digest.
func (i Image) hasName(ref reference.Reference) bool {
	if i.name == "" {
		return i.wasSeenAs(ref)
	}
	if nameOf(i.Reference) != nameOf(ref) {
		return false
	}
	if ref.Digest != "" {
		return i.Digest == ref.Digest && (ref.Tag == "" || i.Reference.Tag == ref.Tag)
	}
	return i.Reference.Tag == ref.Tag
}

// wasSeenAs reports whether ref, REPOSITORY@DIGEST, is where the image was pulled from or
// pushed to, whatever it is called here.
func (i Image) wasSeenAs(ref reference.Reference) bool {
	return ref.Tag == "" && ref.Digest != "" && i.Digest == ref.Digest && slices.Contains(i.seen, nameOf(ref))
}

// idPrefix reads the first characters of an ID, with or without "sha256:".
func idPrefix(s string) (string, bool) {
	encoded := strings.TrimPrefix(s, "sha256:")
	return encoded, encoded != "" && strings.Trim(encoded, "0123456789abcdef") == ""
}

// findByID looks for IDs that begin so, and for a manifest that has just this digest.
func findByID(images []Image, prefix string) ([]Image, error) {
	found := filter(images, func(i Image) bool {
		return strings.HasPrefix(i.ID.Encoded(), prefix) || i.Digest.Encoded() == prefix
	})
	var ids []digest.Digest
	ambiguous := &AmbiguousError{Prefix: prefix}
	for _, image := range found {
		if !slices.Contains(ids, image.ID) {
			ids = append(ids, image.ID)
			ambiguous.Images = append(ambiguous.Images, image)
		}
	}
	if len(ids) > 1 {
		return nil, ambiguous
	}
	return found, nil
}

func filter(images []Image, keep func(Image) bool) []Image {
	return slices.DeleteFunc(slices.Clone(images), func(i Image) bool { return !keep(i) })
}

// Step is one step of an image's build.
type Step struct {
	// Created is when it was made; the zero time where no date is known ([content.Date]).
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
		return nil, fmt.Errorf("history of %s: no platform in the local store: %w", image.title(), content.ErrNotFound)
	}
	steps := History(image.config, image.layers.Layers)
	slices.Reverse(steps)
	return steps, nil
}

// History joins a config's history with the layers of its manifest, the first step first.
func History(config content.ImageConfig, layers []content.Descriptor) []Step {
	var steps []Step
	for _, h := range config.History {
		step := Step{Created: h.Created.Time, CreatedBy: h.CreatedBy, Comment: h.Comment}
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
