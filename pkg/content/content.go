// Package content is the vocabulary of everything that holds images: a registry's
// repository, an OCI image layout, the local store, memory.
//
// Start at [Source] and [Target]. A backend implements them, and those of the optional
// abilities, [Mounter] to [TagFetcher], that it really has; callers ask for an ability by type
// assertion and have a fallback where it is missing. A Target is never wrapped in a
// decorator, because that would hide its abilities.
//
// The bytes of a blob go from one to the other through a [Stream], which verifies them.
//
// Manifests and blobs are distinguished by their position in the graph, never by their
// media type: a layer may carry the media type of a manifest.
//
// The package guarantees that what [FetchTree] returns is within the bounds of [Limits]
// and that every manifest in it matches its digest. The conformance suite that every
// backend passes is in contenttest.
package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"
)

// Location says where content is kept, so that equal places are recognised.
type Location struct {
	// Registry names what stores a blob once, by the same name however it was addressed:
	// "docker.io", "harbor.corp:5443", "oci:/srv/mirror".
	Registry string
	// Repository is the path inside the registry, "library/nginx"; empty where blobs
	// belong to no repository, as in a layout.
	Repository string
	// Account tells credentials apart without revealing them. Blobs are mounted only
	// between repositories that are reached under one account.
	Account string
}

// String is the name people know the place by.
func (l Location) String() string {
	if l.Repository == "" {
		return l.Registry
	}
	return l.Registry + "/" + l.Repository
}

// Located is anything that has a place.
type Located interface {
	Location() Location
}

// Resolver looks references up.
type Resolver interface {
	// Resolve returns the media type, digest and size of the manifest that a tag or a
	// digest names, without reading the manifest where the place allows that (an HTTP
	// HEAD). It returns an [ErrNotFound] for what is not there, and an [ErrInvalid], without
	// a request, for what is neither a tag nor a digest.
	Resolve(ctx context.Context, reference string) (Descriptor, error)
}

// ManifestFetcher reads manifests.
type ManifestFetcher interface {
	// FetchManifest returns the bytes of a manifest, checked against d's digest and, where
	// d.Size is positive, its size. It reads no more than [MaxManifestSize].
	FetchManifest(ctx context.Context, d Descriptor) ([]byte, error)
}

// BlobFetcher reads blobs. At a registry it sends one request, takes no slot and does not
// retry; the caller does both. For a small blob use [ReadBlob].
type BlobFetcher interface {
	// FetchBlob opens a blob. What it yields is unchecked: read it through a [Stream].
	// The caller closes it.
	FetchBlob(ctx context.Context, d Descriptor) (io.ReadCloser, error)
}

// Source is a repository that images can be read from. All methods may be called
// concurrently.
type Source interface {
	Located
	Resolver
	ManifestFetcher
	BlobFetcher
}

// BlobPusher writes blobs. At a registry each method is one request, which is sent once and
// takes no slot: the caller has the slots of the blob, waits, and makes the next attempt. That
// holds for [Upload], [Mounter] and [ResumableUpload], too.
type BlobPusher interface {
	// HasBlob reports whether the blob is in this repository, complete.
	HasBlob(ctx context.Context, d Descriptor) (bool, error)
	// StartUpload opens an upload of d. The caller ends it with Commit or Cancel.
	StartUpload(ctx context.Context, d Descriptor) (Upload, error)
}

// Upload is one attempt to write one blob. It belongs to one goroutine.
type Upload interface {
	// Commit stores what s yields, which is this blob from its first byte, and makes it
	// visible. The Stream verifies the bytes, Commit does not: it makes the blob visible
	// only after s has ended with io.EOF. Any other error of s is returned, wrapped, and
	// leaves no blob; if it says that the bytes are wrong ([IsCorrupt]), the upload
	// is over. After another error the blob is not there, or that is unknown; where it may
	// still appear, the error is an [ErrUnconfirmed]. It is an [ErrInvalid] if [CheckStream]
	// refuses s. s and its source are not read any more when Commit has returned.
	Commit(ctx context.Context, s *Stream) error
	// Cancel gives the attempt up and frees what it holds at the other side. It may be
	// called after Commit and does nothing then.
	Cancel(ctx context.Context) error
}

// ManifestPusher writes manifests and moves tags.
type ManifestPusher interface {
	// PushManifest stores raw, which d describes, and, where tag is not empty, points the
	// tag at it. Everything that raw refers to must be there before. It returns an
	// [ErrInvalid], without a request, for what is no tag.
	PushManifest(ctx context.Context, d Descriptor, raw []byte, tag string) (ManifestPushed, error)
}

// ManifestPushed is what a place answered to a manifest.
type ManifestPushed struct {
	// Subject is the digest whose list of referrers the place itself has put the manifest
	// on (OCI distribution specification, "Pushing Manifests with Subject"). Empty where
	// raw has no subject, or where the caller has to keep that list.
	Subject digest.Digest
}

// Target is a repository that images can be written to and read from. All methods may be
// called concurrently.
type Target interface {
	Source
	BlobPusher
	ManifestPusher
}

// ErrNotMounted: the place did not mount the blob; send it instead.
var ErrNotMounted = errors.New("not mounted")

// Mounter is a target that can take a blob from another repository of its registry.
type Mounter interface {
	// Mount mounts d from the repository named from, which may be the target's own (the
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
	// Offset requests how many bytes the place has.
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
	// Suspend releases them. The upload can be resumed by its session, also in this process.
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

// IsRereadable reports whether a source is a [Rereader] that answers true.
func IsRereadable(source Source) bool {
	r, ok := source.(Rereader)
	return ok && r.Rereadable()
}

// FallbackTag is the tag of the list of referrers of a subject in a registry without the
// referrers API (OCI distribution specification, "Referrers Tag Schema"). It has at most 64
// characters of the encoded digest, so the tag of a sha512 is cut short.
func FallbackTag(subject digest.Digest) string {
	encoded := subject.Encoded()
	return subject.Algorithm().String() + "-" + encoded[:min(64, len(encoded))]
}

// ErrCountsPulls means that a manifest was not read by its tag, because the place counts pulls: resolving the tag
// first costs no pull, and tags with the same digest then share one.
var ErrCountsPulls = errors.New("the registry counts pulls")

// TagFetcher is a place that gives the manifest that a tag names in one request, where
// [Resolver] and [ManifestFetcher] take two. Many registries count it as a pull, so that it
// is for manifests that are wanted anyway.
type TagFetcher interface {
	// FetchTag returns a manifest and its bytes, which are checked against what the place
	// says of them. It reads no more than [MaxManifestSize], and returns an [ErrNotFound] for
	// what is not there, and an [ErrInvalid], without a request, for what is no tag. It returns an
	// [ErrCountsPulls], without a request, if the place was found to count pulls since CountsPulls was called.
	FetchTag(ctx context.Context, tag string) (Descriptor, []byte, error)
	// CountsPulls reports whether the place is known to limit how many manifests may be read.
	CountsPulls() bool
}

// FetchResolved reads and parses the manifest that a tag or digest was resolved to. If the
// place serves manifests by tag only, and returns [ErrNotFound] for their digests, it reads the manifest
// that the tag names, which may have another digest by then.
func FetchResolved(ctx context.Context, from ManifestFetcher, reference string, d Descriptor) (*Manifest, error) {
	m, err := FetchAndParse(ctx, from, d)
	tags, ok := from.(TagFetcher)
	if !errors.Is(err, ErrNotFound) || !ok || CheckTag(reference) != nil {
		return m, err
	}
	named, raw, tagErr := tags.FetchTag(ctx, reference)
	if tagErr != nil {
		return nil, err
	}
	return ParseManifest(named, raw)
}

// maxSmallBlob bounds a blob that is read into memory, in bytes.
const maxSmallBlob = 4 << 20

// BlobReader is a source that reads a small blob as a whole. Unlike FetchBlob, ReadBlob takes
// its own slot of a registry, and retries.
type BlobReader interface {
	// ReadBlob returns the verified bytes of d.
	ReadBlob(ctx context.Context, d Descriptor) ([]byte, error)
}

// ReadBlob returns the verified bytes of a blob, for example the configuration of an image. The
// caller must hold no slots. A blob of more than 4 MiB is an [ErrInvalid].
func ReadBlob(ctx context.Context, from BlobFetcher, d Descriptor) ([]byte, error) {
	if d.Size > maxSmallBlob {
		return nil, fmt.Errorf("blob %s: %w: %d bytes exceed the limit of %d", d.Digest, ErrInvalid, d.Size, maxSmallBlob)
	}
	if reader, ok := from.(BlobReader); ok {
		return reader.ReadBlob(ctx, d)
	}
	blob, err := from.FetchBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(NewStream(blob, d))
}

// FetchImageConfig reads the configuration of an image by [ReadBlob]. It is nil, without a
// request, where config is no image's, as those of artifacts, or is larger than 4 MiB.
func FetchImageConfig(ctx context.Context, from BlobFetcher, config Descriptor) ([]byte, error) {
	if !IsImageConfig(config.MediaType) || config.Size > maxSmallBlob {
		return nil, nil
	}
	raw, err := ReadBlob(ctx, from, config)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	return raw, nil
}
