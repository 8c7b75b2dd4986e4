package layout

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// layout is embedded under an unexported name, so that it is not a field of the API.
type layout = Layout

// Repository is the set of images of a layout whose full names, such as "docker.io/library/nginx:1.25", have
// the same repository. It shares blobs and manifests with the whole layout, and has its own tags. It has every
// optional ability.
type Repository struct {
	*layout
	transport string
	name      string
}

var (
	_ content.Target    = (*Repository)(nil)
	_ content.Mounter   = (*Repository)(nil)
	_ content.TagLister = (*Repository)(nil)
	_ content.Deleter   = (*Repository)(nil)
)

// Location implements [content.Located]: the registry is the transport and the directory.
func (r *Repository) Location() content.Location {
	return content.Location{Registry: r.transport + ":" + r.Path(), Repository: r.name}
}

// Resolve implements [content.Resolver].
func (r *Repository) Resolve(ctx context.Context, tagOrDigest string) (content.Descriptor, error) {
	if digest.Digest(tagOrDigest).Validate() == nil {
		return r.layout.Resolve(ctx, tagOrDigest)
	}
	if err := r.check(tagOrDigest); err != nil {
		return content.Descriptor{}, err
	}
	return r.layout.Resolve(ctx, r.full(tagOrDigest))
}

// PushManifest implements [content.ManifestPusher].
func (r *Repository) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
	if tag == "" {
		return r.layout.PushManifest(ctx, d, raw, "")
	}
	if err := r.check(tag); err != nil {
		return content.ManifestPushed{}, err
	}
	return r.layout.PushManifest(ctx, d, raw, r.full(tag))
}

// Mount implements [content.Mounter]. A blob of one repository is in all of them.
func (r *Repository) Mount(ctx context.Context, d content.Descriptor, _ string) (content.Upload, error) {
	if there, err := r.HasBlob(ctx, d); there || err != nil {
		return nil, err
	}
	return r.StartUpload(ctx, d)
}

// Tags implements [content.TagLister]. The [content.InvalidNamesError] counts entries without a
// valid digest of all repositories.
func (r *Repository) Tags(ctx context.Context) iter.Seq2[string, error] {
	return r.listTags(ctx, "tag", func([]content.Descriptor) func(content.Descriptor) (string, string) {
		return func(entry content.Descriptor) (tag, leftOut string) {
			tag, ours := strings.CutPrefix(FullName(entry), r.full(""))
			switch {
			case !ours:
				return "", ""
			case reference.CheckTag(tag) != nil:
				return "", FullName(entry)
			}
			return tag, ""
		}
	})
}

// Delete implements [content.Deleter]. A digest is removed from this repository only, unless it has
// no name in any repository. [Layout.GC] frees its blobs.
func (r *Repository) Delete(ctx context.Context, tagOrDigest string) error {
	d := digest.Digest(tagOrDigest)
	if d.Validate() != nil {
		if err := r.check(tagOrDigest); err != nil {
			return err
		}
		return r.layout.Delete(ctx, r.full(tagOrDigest))
	}
	err := r.DeleteManifest(ctx, d, func(entry content.Descriptor) bool {
		name := FullName(entry)
		return name == "" || strings.HasPrefix(name, r.full(""))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// check refuses a reference that is not a tag: appended to the name of the repository, "x/y:1"
// would name an image in another one.
func (r *Repository) check(tag string) error {
	if err := content.CheckTag(tag); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

func (r *Repository) full(tag string) string { return r.name + ":" + tag }

// annotationContainerdName is where containerd, and docker save, put an image's full name;
// the tag alone is then in the annotation of the OCI image specification.
const annotationContainerdName = "io.containerd.image.name"

// AmbiguousError reports that a reference matches several images of a layout.
type AmbiguousError struct {
	// Layout is the directory.
	Layout string
	// Reference is the requested one; empty for the only image.
	Reference string
	// Choices are references to the matching images, by full name, tag or digest.
	Choices []reference.Reference
}

func (e *AmbiguousError) Error() string {
	what := "has several images"
	if e.Reference != "" {
		what = fmt.Sprintf("has several images that match %q", e.Reference)
	}
	const shown = 10
	names := make([]string, 0, shown)
	for _, choice := range e.Choices[:min(shown, len(e.Choices))] {
		names = append(names, choice.String())
	}
	list := strings.Join(names, ", ")
	if len(e.Choices) > shown {
		list += fmt.Sprintf(" and %d more", len(e.Choices)-shown)
	}
	return fmt.Sprintf("%s %s: choose one of %s", e.Layout, what, list)
}

// tagOf is the name in the annotation of the OCI image specification, else containerd's.
func tagOf(entry content.Descriptor) string {
	if tag := entry.Annotations[ocispec.AnnotationRefName]; tag != "" {
		return tag
	}
	return entry.Annotations[annotationContainerdName]
}

// FullName returns an entry's name in containerd's annotation or, without that, in the annotation of
// the OCI image specification; empty if it has neither.
func FullName(entry content.Descriptor) string {
	if name := entry.Annotations[annotationContainerdName]; name != "" {
		return name
	}
	return entry.Annotations[ocispec.AnnotationRefName]
}

// hasName reports whether an entry has the name in either annotation.
func hasName(entry content.Descriptor, name string) bool {
	return name != "" && (entry.Annotations[ocispec.AnnotationRefName] == name || entry.Annotations[annotationContainerdName] == name)
}

// checkName refuses everything but a tag and, as containerd and the local store write it, a
// full name with a tag.
func checkName(name string) error {
	if _, ok := tagIn(name); !ok {
		return fmt.Errorf("%w: %.100q is neither a tag nor a full name with a tag", content.ErrInvalid, name)
	}
	return nil
}

// tagIn is the tag of a name, which is a tag itself or a full name. A name that begins like a
// digest has no tag.
func tagIn(name string) (tag string, ok bool) {
	if reference.CheckTag(name) == nil {
		return name, true
	}
	if algorithm, _, _ := strings.Cut(name, ":"); digest.Algorithm(algorithm).Available() {
		return "", false
	}
	ref, err := reference.Parse(name)
	return ref.Tag, err == nil && ref.IsRegistry() && ref.Tag != "" && strings.HasSuffix(name, ":"+ref.Tag)
}

// hasTag reports whether an entry has a full name that ends with the tag.
func hasTag(entry content.Descriptor, tag string) bool {
	return strings.HasSuffix(entry.Annotations[ocispec.AnnotationRefName], ":"+tag) ||
		strings.HasSuffix(entry.Annotations[annotationContainerdName], ":"+tag)
}

// pick returns the image of a name. The empty name means the only image, not counting referrers,
// lists of them and signatures.
func (d dir) pick(entries []content.Descriptor, name string, isReferrer func(content.Descriptor) bool) (content.Descriptor, error) {
	var found []content.Descriptor
	if name == "" {
		found = filter(entries, func(e content.Descriptor) bool {
			tag, _ := tagIn(tagOf(e))
			return !content.IsAttachedTag(tag) && (tagOf(e) != "" || !isReferrer(e))
		})
	} else {
		found = filter(entries, func(e content.Descriptor) bool { return hasName(e, name) })
		if len(found) == 0 {
			found = filter(entries, func(e content.Descriptor) bool { return hasTag(e, name) })
		}
	}
	switch {
	case len(found) == 0 && name == "":
		return content.Descriptor{}, fmt.Errorf("%s has no image: %w", d.path, content.ErrNotFound)
	case len(found) == 0:
		return content.Descriptor{}, fmt.Errorf("%w in %s", content.ErrNotFound, d.path)
	}
	for _, entry := range found[1:] {
		if entry.Digest != found[0].Digest {
			return content.Descriptor{}, &AmbiguousError{Layout: d.path, Reference: name, Choices: d.choices(entries, found)}
		}
	}
	return found[0], nil
}

// choices are references to entries, each image once: the shortest of tag, full name and digest that names no other
// image and is read as the same reference.
func (d dir) choices(entries, found []content.Descriptor) []reference.Reference {
	var choices []reference.Reference
	digests := map[digest.Digest]bool{}
	for _, entry := range found {
		if digests[entry.Digest] {
			continue
		}
		digests[entry.Digest] = true
		at := reference.Reference{Transport: reference.Layout, Path: d.path}
		choice := at.WithDigest(entry.Digest)
		for _, name := range []string{FullName(entry), tagOf(entry)} {
			if name == "" {
				continue
			}
			named := at.WithTag(name)
			if full, err := reference.Parse(name); err == nil && full.String() == name {
				named = full.WithTransport(reference.Layout)
				named.Path = d.path
			}
			read, err := reference.Parse(named.String())
			if err == nil && read == named && !slices.ContainsFunc(entries, func(e content.Descriptor) bool { return e.Digest != entry.Digest && hasName(e, name) }) {
				choice = named
			}
		}
		choices = append(choices, choice)
	}
	return choices
}

func filter[T any](entries []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(entries), func(e T) bool { return !keep(e) })
}
