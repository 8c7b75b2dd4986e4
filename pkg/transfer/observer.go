package transfer

import (
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// observer turns what happens to blobs into events and counters.
type observer Engine

var _ blobs.Observer = (*observer)(nil)

func (o *observer) emit(e Event) { (*Engine)(o).emit(e) }

func (o *observer) BlobStarted(to reference.Reference, blob content.Descriptor) blobs.Progress {
	progress := &Progress{Total: blob.Size}
	o.emit(BlobStarted{Destination: to, Descriptor: blob, Progress: progress})
	return progress
}

func (o *observer) BlobRetrying(to reference.Reference, blob content.Descriptor, attempt int, wait time.Duration, err error) {
	o.emit(BlobRetrying{Destination: to, Descriptor: blob, Attempt: attempt, Wait: wait, Err: err})
}

func (o *observer) BlobDone(to reference.Reference, blob content.Descriptor, outcome blobs.Outcome, from string, err error) {
	done := BlobDone{Destination: to, Descriptor: blob, Outcome: BlobOutcome(outcome), From: from, Err: err}
	switch {
	case err != nil:
		done.Outcome = BlobFailed
	case outcome == blobs.Exists:
		o.Counters.Skipped.Add(blob.Size)
	case outcome == blobs.Mounted:
		o.Counters.Mounted.Add(blob.Size)
	}
	o.emit(done)
}

func (o *observer) BlobOmitted(to reference.Reference, blob content.Descriptor) {
	o.emit(BlobDone{Destination: to, Descriptor: blob, Outcome: BlobOmitted})
}

func (o *observer) ManifestPushed(to reference.Reference, m content.Descriptor, tag string) {
	o.emit(ManifestPushed{Destination: to, Descriptor: m, Tag: tag})
}

func (o *observer) BytesRead(n, again int64) {
	o.Counters.Read.Add(n)
	o.Counters.Reread.Add(again)
}

func (o *observer) BytesSent(n, again int64) {
	o.Counters.Sent.Add(n)
	o.Counters.Resent.Add(again)
}

func (o *observer) StreamEnded(reading, writing time.Duration) {
	o.Counters.Reading.Add(int64(reading))
	o.Counters.Writing.Add(int64(writing))
}

func (o *observer) UploadLost(registry string) {
	o.emit(Warned{Warning: warning.Warning{Kind: warning.UploadsLost, Registry: registry}})
}
