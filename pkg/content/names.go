package content

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/reference"
)

// CheckTag checks a tag with [reference.CheckTag]. The error is an [ErrInvalid].
func CheckTag(tag string) error {
	if err := reference.CheckTag(tag); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// CheckReference checks a tag or digest, which becomes part of URLs and of file names. The
// error is an [ErrInvalid].
func CheckReference(tagOrDigest string) error {
	if digest.Digest(tagOrDigest).Validate() == nil {
		return nil
	}
	return CheckTag(tagOrDigest)
}

// InvalidNamesError says that a place listed names that are not valid, and that the listing
// left them out. A listing yields it last, after all valid names. It is an [ErrInvalid], and
// no failure: use [SplitInvalidNames].
type InvalidNamesError struct {
	// Kind is what the names should have been, in the singular: "tag", "repository name".
	Kind string
	// Count is how many were left out.
	Count int
	// First are the first three of them as they were listed, each cut after 100 bytes. They
	// may hold anything, control characters too; Error quotes them.
	First []string
}

// Add counts a name that was left out.
func (e *InvalidNamesError) Add(name string) {
	const kept, longest = 3, 100
	e.Count++
	if len(e.First) < kept {
		// A clone, because name would keep the whole page in memory.
		e.First = append(e.First, strings.Clone(name[:min(len(name), longest)]))
	}
}

// Err returns e, or nil if no name was left out.
func (e *InvalidNamesError) Err() error {
	if e.Count == 0 {
		return nil
	}
	return e
}

func (e *InvalidNamesError) Error() string {
	quoted := make([]string, len(e.First))
	for i, name := range e.First {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	list := strings.Join(quoted, ", ")
	if more := e.Count - len(e.First); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	if e.Count == 1 {
		return fmt.Sprintf("left out 1 %s that is not valid: %s", e.Kind, list)
	}
	return fmt.Sprintf("left out %d %ss that are not valid: %s", e.Count, e.Kind, list)
}

// Is reports that e is an [ErrInvalid].
func (e *InvalidNamesError) Is(target error) bool { return target == ErrInvalid }

// SplitInvalidNames distinguishes the two kinds of errors that a listing ends with: invalid
// names, after all valid ones, or a failure. Both results are nil for a nil err.
func SplitInvalidNames(err error) (invalid *InvalidNamesError, failure error) {
	if invalid, ok := errors.AsType[*InvalidNamesError](err); ok {
		return invalid, nil
	}
	return nil, err
}

// ValidNames yields the names that check accepts. If there are others, it ends with an
// [InvalidNamesError] of that kind. A failure of the listing ends it at once.
func ValidNames(kind string, check func(name string) error, listed iter.Seq2[string, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		invalid := InvalidNamesError{Kind: kind}
		for name, err := range listed {
			switch {
			case err != nil:
				yield("", err)
				return
			case check(name) != nil:
				invalid.Add(name)
			case !yield(name, nil):
				return
			}
		}
		if err := invalid.Err(); err != nil {
			yield("", err)
		}
	}
}

// ValidDescriptors returns the descriptors that [CheckDescriptor] and [CheckMediaType] accept;
// a media type may be missing. If there are others, the error is an [InvalidNamesError] of
// that kind.
func ValidDescriptors(kind string, listed []Descriptor) ([]Descriptor, error) {
	invalid := InvalidNamesError{Kind: kind}
	valid := make([]Descriptor, 0, len(listed))
	for _, d := range listed {
		switch {
		case CheckDescriptor(d) != nil:
			invalid.Add(d.Digest.String())
		case d.MediaType != "" && CheckMediaType(d.MediaType) != nil:
			invalid.Add(d.MediaType)
		default:
			valid = append(valid, d)
		}
	}
	return valid, invalid.Err()
}
