package transfer

import (
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Event is one state change: one of the types below.
type Event interface{ event() }

// Queued says how many jobs the run has taken so far. Complete: there are no more, and none was left when the run was ended.
type Queued struct {
	Jobs     int
	Complete bool
}

// Planned says that one destination of a job was planned, the only one in Plan. Plan is not changed afterwards.
type Planned struct {
	Plan *Plan
	// Again: the job has other destinations, and this is not the first.
	Again bool
}

// BlobStarted says that the bytes of a blob begin to move to a destination.
type BlobStarted struct {
	Destination reference.Reference
	Descriptor  content.Descriptor
	// Progress counts the bytes, until the BlobDone of the same destination and digest.
	Progress *Progress
}

// BlobRetrying says that an attempt failed and another follows after Wait.
type BlobRetrying struct {
	Destination reference.Reference
	Descriptor  content.Descriptor
	Attempt     int
	Wait        time.Duration
	Err         error
}

// BlobDone says that the destination has the blob, or Err says why not.
type BlobDone struct {
	Destination reference.Reference
	Descriptor  content.Descriptor
	Outcome     BlobOutcome
	// From is the repository it was mounted from.
	From string
	Err  error
}

// BlobOutcome is how a blob got to a destination.
type BlobOutcome string

// The outcomes of a blob.
const (
	BlobExists  BlobOutcome = "exists"  // it was there
	BlobMounted BlobOutcome = "mounted" // taken from another repository of the registry
	BlobSent    BlobOutcome = "sent"    // its bytes were sent
	BlobOmitted BlobOutcome = "omitted" // a foreign layer that is left out
	BlobFailed  BlobOutcome = "failed"
)

// ManifestPushed says that the destination has a manifest. Tag is empty unless it moved one.
type ManifestPushed struct {
	Destination reference.Reference
	Descriptor  content.Descriptor
	Tag         string
}

// Warned says something that the user should know, and that does not stop the job.
type Warned struct {
	Source  reference.Reference // zero if it concerns the whole run
	Warning warning.Warning
}

// DestinationDone says that a job has ended at one destination, successfully or not.
type DestinationDone struct {
	Job    Job
	Result DestinationResult
}

// JobDone says that a job has ended at all of its destinations.
type JobDone struct {
	Result *Result
}

func (Queued) event()          {}
func (Planned) event()         {}
func (BlobStarted) event()     {}
func (BlobRetrying) event()    {}
func (BlobDone) event()        {}
func (ManifestPushed) event()  {}
func (Warned) event()          {}
func (DestinationDone) event() {}
func (JobDone) event()         {}

// Progress counts the bytes of one blob on its way to one destination. It may be read at any time.
type Progress struct {
	// Total is how many bytes this run is to send: the blob's size without Resumed.
	Total int64
	// Resumed is how many bytes an earlier run has sent, after which this one continues.
	Resumed int64
	done    atomic.Int64
}

// Done is the number of bytes of Total that the destination has got or that the current attempt has sent.
func (p *Progress) Done() int64 { return p.done.Load() }

// Add counts n more bytes; a negative n takes back those of an attempt that failed.
func (p *Progress) Add(n int64) { p.done.Add(n) }

// Counters are the bytes of a run. They may be read at any time.
type Counters struct {
	// Read is the blob bytes read from sources; bytes read twice count twice.
	Read atomic.Int64
	// Reread is the part of Read that was read before in this run.
	Reread atomic.Int64
	// Sent is the blob bytes sent to destinations; bytes sent twice count twice.
	Sent atomic.Int64
	// Resent is the part of Sent that was sent to the same repository before: in this run or, according to the records
	// of interrupted uploads ([Options].Uploads), by an earlier one.
	Resent atomic.Int64
	// Mounted and Skipped are the blob bytes that did not need to be sent.
	Mounted atomic.Int64
	Skipped atomic.Int64
	// Reading and Writing are the nanoseconds that all streams of 1 MiB and more together waited for their sources, and
	// for their destinations.
	Reading atomic.Int64
	Writing atomic.Int64
}

// observer turns what happens to blobs into events and counters.
type observer struct{ *Engine }

var _ blobs.Observer = observer{}

func (o observer) BlobStarted(to reference.Reference, blob content.Descriptor, inherited, sent int64) blobs.Progress {
	progress := &Progress{Total: blob.Size - inherited, Resumed: inherited}
	progress.Add(sent)
	o.emit(BlobStarted{Destination: to, Descriptor: blob, Progress: progress})
	return progress
}

func (o observer) BlobRetrying(to reference.Reference, blob content.Descriptor, attempt int, wait time.Duration, err error) {
	o.emit(BlobRetrying{Destination: to, Descriptor: blob, Attempt: attempt, Wait: wait, Err: err})
}

func (o observer) BlobDone(to reference.Reference, blob content.Descriptor, outcome blobs.Outcome, from string, err error) {
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

func (o observer) BlobOmitted(to reference.Reference, blob content.Descriptor) {
	o.emit(BlobDone{Destination: to, Descriptor: blob, Outcome: BlobOmitted})
}

func (o observer) ManifestPushed(to reference.Reference, m content.Descriptor, tag string) {
	o.emit(ManifestPushed{Destination: to, Descriptor: m, Tag: tag})
}

func (o observer) BytesRead(n, again int64) {
	o.Counters.Read.Add(n)
	o.Counters.Reread.Add(again)
}

func (o observer) BytesSent(n, again int64) {
	o.Counters.Sent.Add(n)
	o.Counters.Resent.Add(again)
}

func (o observer) StreamEnded(reading, writing time.Duration) {
	o.Counters.Reading.Add(int64(reading))
	o.Counters.Writing.Add(int64(writing))
}

func (o observer) UploadLost(registry string) {
	o.emit(Warned{Warning: warning.Warning{Kind: warning.UploadsLost, Registry: registry}})
}
