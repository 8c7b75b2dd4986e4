package content

import (
	"context"

	"github.com/opencontainers/go-digest"
)

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
