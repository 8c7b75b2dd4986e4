package content

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Conditions that callers test for with errors.Is, whatever the backend.
var (
	// ErrNotFound: the tag, manifest, blob or repository is not there.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: nobody is logged in, or the password is wrong (HTTP 401).
	ErrUnauthorized = errors.New("unauthorized")
	// ErrDenied: the account is known and may not do this (HTTP 403).
	ErrDenied = errors.New("denied")
	// ErrUnsupported: this place cannot do that at all; asking again is pointless.
	ErrUnsupported = errors.New("unsupported")
	// ErrInvalid: what was read breaks the specification or a bound of [Limits].
	ErrInvalid = errors.New("invalid content")
	// ErrMismatch: the bytes do not have the digest or the size that was asked for.
	ErrMismatch = errors.New("content does not match its descriptor")
	// ErrUnconfirmed: all bytes of a blob were sent, but no answer arrived in time. The blob may
	// still appear: call HasBlob later, and do not send it again yet.
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

// Unwrap gives the cause.
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
		return fmt.Sprintf("the bytes of %s have the digest %s", e.Want.Digest, e.GotDigest)
	case e.GotSize > e.Want.Size:
		return fmt.Sprintf("%s is longer than its stated %d bytes", e.Want.Digest, e.Want.Size)
	default:
		return fmt.Sprintf("%s ends after %d of %d bytes", e.Want.Digest, e.GotSize, e.Want.Size)
	}
}

// Is makes every MismatchError an ErrMismatch.
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }

// Short reports whether content merely ended early, which a broken connection causes;
// anything else means that the other side lied or corrupted it.
func (e *MismatchError) Short() bool { return e.GotDigest == "" && e.GotSize < e.Want.Size }

// IsCorrupt reports whether err says that bytes are wrong, not merely that there are too few:
// it is an [ErrMismatch] that is not [MismatchError.Short].
func IsCorrupt(err error) bool {
	mismatch, is := errors.AsType[*MismatchError](err)
	return errors.Is(err, ErrMismatch) && (!is || !mismatch.Short())
}
