package content

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/reference"
)

// Conditions that callers test for with errors.Is, whatever the backend.
var (
	// ErrNotFound: the tag, manifest, blob or repository does not exist.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the client is not logged in, or the password is wrong (HTTP 401).
	ErrUnauthorized = errors.New("unauthorized")
	// ErrDenied: the account does not have the permission (HTTP 403).
	ErrDenied = errors.New("denied")
	// ErrQuota: the storage quota of the account or project is used up. It is not an ErrDenied,
	// although many registries answer 403, too.
	ErrQuota = errors.New("storage quota used up")
	// ErrImmutable: no account can move or delete this tag. It is not an ErrDenied.
	ErrImmutable = errors.New("immutable tag")
	// ErrPolicy: a policy of the registry refuses the image for all accounts, for example because of vulnerabilities. It is
	// not an ErrDenied.
	ErrPolicy = errors.New("refused by a policy")
	// ErrUnsupported: this place does not support the operation. Do not retry.
	ErrUnsupported = errors.New("unsupported")
	// ErrImagesOnly: this place accepts only images, neither attestations nor other artifacts.
	ErrImagesOnly = errors.New("only images are accepted")
	// ErrInvalid: what was read breaks the specification or a bound of [Limits].
	ErrInvalid = errors.New("invalid content")
	// ErrMismatch: the bytes do not have the requested digest or size.
	ErrMismatch = errors.New("content does not match its descriptor")
	// ErrUnconfirmed: all bytes of a blob were sent, but no answer arrived in time. The blob may
	// still appear: call HasBlob later, and do not send it again yet. Or a manifest was accepted, but the account may not read it.
	ErrUnconfirmed = errors.New("not confirmed")
	// ErrTooLarge: the place refuses the size of an upload's request, or its parts. The next attempt uses another
	// size. The number of such attempts is bounded.
	ErrTooLarge = errors.New("too large for one request")
	// ErrSchema1: a Docker schema 1 manifest, which cannot be copied by digest.
	ErrSchema1 = errors.New("docker schema 1 image")
)

// PartError is an error about a part of an image: a child of its index, or a blob.
type PartError struct {
	// Part is the part's descriptor in the index or manifest.
	Part Descriptor
	Err  error
}

func (e *PartError) Error() string {
	if e.Part.Platform == nil || !mayBeImage(e.Part) {
		return e.Err.Error()
	}
	return FormatPlatform(*e.Part.Platform) + ": " + e.Err.Error()
}

func (e *PartError) Unwrap() error { return e.Err }

// MismatchError tells how content differs from its descriptor. It is an [ErrMismatch].
type MismatchError struct {
	Want Descriptor
	// GotSize is the number of bytes read; reading stops one byte after Want.Size.
	GotSize int64
	// GotDigest is empty where the content was not read whole.
	GotDigest digest.Digest
}

func (e *MismatchError) Error() string {
	switch {
	case e.GotDigest != "" && e.GotDigest != e.Want.Digest:
		return fmt.Sprintf("digest mismatch: got %s, want %s", e.GotDigest, e.Want.Digest)
	case e.GotSize > e.Want.Size:
		return fmt.Sprintf("%s has more than %d bytes", e.Want.Digest, e.Want.Size)
	default:
		return fmt.Sprintf("%s ends after %d of %d bytes", e.Want.Digest, e.GotSize, e.Want.Size)
	}
}

// Is makes every MismatchError an ErrMismatch.
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }

// Short reports whether content merely ended early, which a broken connection causes;
// anything else means that the other side sent wrong content.
func (e *MismatchError) Short() bool { return e.GotDigest == "" && e.GotSize < e.Want.Size }

// IsCorrupt reports whether err says that bytes are wrong, not merely that there are too few:
// it is an [ErrMismatch] that is not [MismatchError.Short].
func IsCorrupt(err error) bool {
	mismatch, is := errors.AsType[*MismatchError](err)
	return errors.Is(err, ErrMismatch) && (!is || !mismatch.Short())
}

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
		return fmt.Sprintf("ignored 1 invalid %s: %s", e.Kind, list)
	}
	return fmt.Sprintf("ignored %d invalid %ss: %s", e.Count, e.Kind, list)
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

var attachedTag = regexp.MustCompile(`^sha(256|384|512)-[0-9a-f]{64}(\.[a-z0-9_-]+)?$`)

// IsAttachedTag reports whether a tag is named after a digest and so belongs to that image:
// a list of referrers ([FallbackTag]), or a signature, attestation or SBOM as cosign stores
// them. Such tags are copied and deleted with their image and are never selected by themselves.
func IsAttachedTag(tag string) bool { return attachedTag.MatchString(tag) }

// Answer is what an error says about the request that failed. Fields that it says nothing about are empty.
type Answer struct {
	// Host is the host that the request was sent to: a registry, its token server, or a storage server.
	Host string
	// URL is that of the request, without values that may be secret. It is empty if the request was made for another
	// image.
	URL string
	// Status is the HTTP status of the answer, zero if none came.
	Status int
	// Code is the registry's word for it: "MANIFEST_UNKNOWN".
	Code string
	// Reason is the error without the request: "404 Not Found: MANIFEST_UNKNOWN". Equal causes have equal reasons.
	Reason string
}

// AnswerOf takes an error apart. An error says something about its request by one of the methods RegistryHost() string,
// RequestURL() string, HTTPStatus() int, ErrorCode() string and Reason() string; of several errors that wrap each other, the
// outermost that has a method decides. The Reason of an error without one is its text. nil gives the zero value.
func AnswerOf(err error) Answer {
	if err == nil {
		return Answer{}
	}
	a := Answer{Reason: err.Error()}
	var (
		host   interface{ RegistryHost() string }
		url    interface{ RequestURL() string }
		status interface{ HTTPStatus() int }
		code   interface{ ErrorCode() string }
		reason interface{ Reason() string }
	)
	if errors.As(err, &host) {
		a.Host = host.RegistryHost()
	}
	if errors.As(err, &url) {
		a.URL = url.RequestURL()
	}
	if errors.As(err, &status) {
		a.Status = status.HTTPStatus()
	}
	if errors.As(err, &code) {
		a.Code = code.ErrorCode()
	}
	if errors.As(err, &reason) {
		a.Reason = reason.Reason()
	}
	return a
}
