package layout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// annotationContainerdName is where containerd, and docker save, put an image's full name;
// the tag alone is then in the annotation of the OCI image specification.
const annotationContainerdName = "io.containerd.image.name"

// AmbiguousError says that a layout has several images, and the reference does not say which.
type AmbiguousError struct {
	// Layout is the directory.
	Layout string
	// Reference is what was asked for; empty for "the image".
	Reference string
	// Names are the images it may have meant; those without a name are not among them.
	Names []string
}

func (e *AmbiguousError) Error() string {
	what := "has several images"
	if e.Reference != "" {
		what = fmt.Sprintf("has several images that %q may mean", e.Reference)
	}
	if len(e.Names) == 0 {
		return e.Layout + " " + what + ", without names: choose one by digest"
	}
	const shown = 10
	names := strings.Join(e.Names[:min(shown, len(e.Names))], ", ")
	if len(e.Names) > shown {
		names += fmt.Sprintf(" and %d more", len(e.Names)-shown)
	}
	return fmt.Sprintf("%s %s: choose one of %s", e.Layout, what, names)
}

// tagOf is the name in the annotation of the OCI image specification, else containerd's.
func tagOf(entry content.Descriptor) string {
	if tag := entry.Annotations[ocispec.AnnotationRefName]; tag != "" {
		return tag
	}
	return entry.Annotations[annotationContainerdName]
}

// hasName reports whether an entry is called name, by either annotation.
func hasName(entry content.Descriptor, name string) bool {
	return name != "" && (entry.Annotations[ocispec.AnnotationRefName] == name || entry.Annotations[annotationContainerdName] == name)
}

// checkName refuses everything but a tag and, as containerd and the local store write it, a
// full name with a tag.
func checkName(name string) error {
	if _, ok := tagIn(name); !ok {
		return fmt.Errorf("%w: %.100q is neither a tag nor a full name with one", content.ErrInvalid, name)
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

// pick finds the one image that a name means. The empty name means the only image, where
// referrers, lists of them and signatures do not count.
func (l *Layout) pick(entries []content.Descriptor, name string, isReferrer func(content.Descriptor) bool) (content.Descriptor, error) {
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
		return content.Descriptor{}, fmt.Errorf("%s has no image: %w", l.path, content.ErrNotFound)
	case len(found) == 0:
		return content.Descriptor{}, fmt.Errorf("%s has no image %q: %w", l.path, name, content.ErrNotFound)
	}
	for _, entry := range found[1:] {
		if entry.Digest != found[0].Digest {
			return content.Descriptor{}, &AmbiguousError{Layout: l.path, Reference: name, Names: names(found)}
		}
	}
	return found[0], nil
}

// names are the most telling names of entries, each once.
func names(entries []content.Descriptor) []string {
	var names []string
	for _, entry := range entries {
		name := entry.Annotations[annotationContainerdName]
		if name == "" {
			name = tagOf(entry)
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func filter[T any](entries []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(entries), func(e T) bool { return !keep(e) })
}
