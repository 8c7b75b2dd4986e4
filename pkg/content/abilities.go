package content

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"
)

// ErrNotMounted: the place did not take the blob from there; send it instead.
var ErrNotMounted = errors.New("not mounted")

// Mounter is a target that can take a blob from another repository of its registry.
type Mounter interface {
	// Mount asks for d from the repository named from, which may be the target's own (the
	// answer then says whether d is there). With a nil Upload and a nil error the blob is
	// in this repository now. A non-nil Upload means that it is not, and is an open upload
	// to use or to cancel. An [ErrNotMounted] is a refusal that opened nothing.
	Mount(ctx context.Context, d Descriptor, from string) (Upload, error)
}

// Preparer is a target that can be prepared for requests.
type Preparer interface {
	// Prepare connects and logs in, so that the first request does not wait for that. It does nothing if a request to
	// the registry was sent before.
	Prepare(ctx context.Context) error
}

// RangeFetcher is a source that can read a part of a blob.
type RangeFetcher interface {
	// FetchBlobRange opens length bytes from offset on. It returns an [ErrUnsupported]
	// where the place would send anything else. The caller closes it.
	FetchBlobRange(ctx context.Context, d Descriptor, offset, length int64) (io.ReadCloser, error)
}

// Mirrored is a source that may read from mirrors. It notices wrong bytes of a mirror only in whole blobs.
type Mirrored interface {
	HasMirrors() bool
}

// URLFetcher is a source that can fetch foreign layers from elsewhere.
type URLFetcher interface {
	// FetchURLs opens a blob at the first of d.URLs that serves it, without credentials. URLs
	// come from the author of the image, so they are untrusted: the error is an [ErrInvalid] if the
	// source refuses all of them. The bytes are unchecked, like those of [BlobFetcher]. The caller
	// closes the reader.
	FetchURLs(ctx context.Context, d Descriptor) (io.ReadCloser, error)
}

// ResumableUpload is an Upload that can be continued after it broke.
type ResumableUpload interface {
	Upload
	// Session names the upload for [UploadResumer], also in a later process. It changes as
	// the upload goes on and may hold a secret of the place.
	Session() string
	// Offset asks how many bytes the place holds.
	Offset(ctx context.Context) (int64, error)
	// CommitFrom is Commit from offset on, which Offset returned. s must be at this offset.
	// s verifies the blob as the source has it, but the bytes that the place holds before
	// offset came from another Stream, perhaps of a process that crashed, and may be wrong.
	// So the place verifies the whole blob once more. If it does not match, the blob does
	// not become visible, the upload is over, and the error is an [ErrMismatch] but no
	// [MismatchError], which would name the source.
	CommitFrom(ctx context.Context, offset int64, s *Stream) error
}

// Suspender is a [ResumableUpload] that holds files or locks.
type Suspender interface {
	// Suspend lets go of them. The upload can be resumed by its session, also in this process.
	Suspend() error
}

// UploadResumer is a target that can continue an upload of an earlier connection.
type UploadResumer interface {
	// ResumeUpload continues the session of an earlier [ResumableUpload]. It returns an
	// [ErrNotFound] where the place has dropped it.
	ResumeUpload(ctx context.Context, d Descriptor, session string) (ResumableUpload, error)
}

// TagLister is a place that can list its tags.
type TagLister interface {
	// Tags yields every valid tag, in no particular order, and ends after the first error.
	// If the place also lists invalid names, it yields an [InvalidNamesError] after all
	// valid tags.
	Tags(ctx context.Context) iter.Seq2[string, error]
}

// PushTimer is a place that knows when its tags were pushed.
type PushTimer interface {
	// Pushed is when each tag was pushed last; the zero time where the place does not know.
	// It returns an [ErrUnsupported] where the place tells it of no tag.
	Pushed(ctx context.Context) (map[string]time.Time, error)
}

// ReferrersLister is a place that keeps lists of referrers itself.
type ReferrersLister interface {
	// Referrers lists the manifests whose subject is the given one; an empty list is no
	// error. It returns an [ErrUnsupported] where the place keeps no such lists, so that
	// the tag [FallbackTag] has to be read. With an [InvalidNamesError] the list holds all
	// valid entries.
	Referrers(ctx context.Context, subject digest.Digest) ([]Descriptor, error)
}

// Deleter is a place that can delete.
type Deleter interface {
	// Delete removes a tag, or a manifest given by digest together with all its tags. It
	// returns an [ErrNotFound] for what is not there, and an [ErrInvalid], without a
	// request, for what is neither a tag nor a digest.
	Delete(ctx context.Context, reference string) error
}

// Rereader is a source whose blobs may be read as often as one likes, because no transfer
// is behind them: nothing read from it needs to be kept for a second reader.
type Rereader interface {
	Rereadable() bool
}

// FallbackTag is the tag of the list of referrers of a subject in a registry without the
// referrers API (OCI distribution specification, "Referrers Tag Schema"). It has at most 64
// characters of the encoded digest, so the tag of a sha512 is cut short.
func FallbackTag(subject digest.Digest) string {
	encoded := subject.Encoded()
	return subject.Algorithm().String() + "-" + encoded[:min(64, len(encoded))]
}
