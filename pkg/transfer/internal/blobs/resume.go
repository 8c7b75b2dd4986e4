package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

const (
	// recordedFrom is the size from which an upload is remembered for later processes, in bytes.
	recordedFrom = 1 << 20
	// keptFrom is how many bytes an upload whose connection broke must have for the next attempt to continue it:
	// continuing costs about two more requests than sending these bytes again.
	keptFrom = 64 << 10
	// saveBytes and saveEvery say how often the state of an upload is saved: whichever comes first.
	saveBytes = 256 << 10
	saveEvery = 200 * time.Millisecond
	// maxAhead is how far a place may be ahead of the state that an earlier process has saved, in bytes.
	maxAhead = 16 << 20
	// maxRecalls is how many attempts may continue an upload that an earlier process has left.
	maxRecalls = 2
	// maxStuck is how many attempts in a row may continue an upload and get no further, as through a proxy
	// that does not pass the rest of a blob. Then the upload starts again.
	maxStuck = 2
	// maxKept bounds the uploads that broke and wait for their next attempt, and maxRecords the open records:
	// each may hold two files. Beyond that, an upload that breaks starts again.
	maxKept, maxRecords = 128, 128
)

// sending is an upload and the stream that it gets its bytes from.
type sending struct {
	upload  content.Upload
	stream  *content.Stream // nil before the first attempt
	offset  int64           // how many bytes the place has
	current bool            // no byte was sent since the place stated the offset
	asOf    time.Time       // when the place last stated the offset
	began   int64           // the offset at which the last attempt began to send
	stuck   int             // how many attempts in a row did not get further
	earlier bool            // another process began it
	// inherited is how many of the bytes at the place another process has sent.
	inherited int64
	// completeSince is when the place first had all bytes but not the blob: it may be committing them.
	completeSince time.Time
	full          bool // the place has said so
}

// commitTime returns how long a place that has all bytes of a blob may take to commit it. Only after that time is an
// empty request for another commit sent: two commits of one upload may leave a blob of 0 bytes at distribution 3.1.
func commitTime(blob content.Descriptor) time.Duration {
	return time.Second + time.Duration(blob.Size/10_000_000)*time.Second
}

// start returns where to read the blob from. It is before the offset if bytes that the place has are not hashed.
func (s *sending) start() int64 {
	if s.stream == nil {
		return 0
	}
	return min(s.offset, s.stream.Hashed())
}

// feed makes the stream yield the blob from the offset on. r yields it from start on; states are those of the stream
// that verifies it, if there is one.
func (s *sending) feed(r io.Reader, blob content.Descriptor, states *content.States) error {
	switch {
	case s.stream == nil && states != nil:
		s.stream = content.VerifiedStream(r, blob, states)
		return nil
	case s.stream == nil:
		s.stream = content.NewStream(r, blob)
		return nil
	}
	start := s.start()
	if err := s.stream.Continue(r, start); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, s.stream, s.offset-start)
	return err
}

func (s *sending) save(to Record) {
	upload, ok := s.upload.(content.ResumableUpload)
	if !ok || to == nil || s.stream == nil {
		return
	}
	if state, err := s.stream.MarshalBinary(); err == nil {
		to.Save(upload.Session(), state)
	}
}

// saver returns a function that saves the state now and then. It is called before the source is read.
func (s *sending) saver(to Record) func() {
	if to == nil {
		return func() {}
	}
	saved, last := int64(-saveBytes), time.Time{}
	return func() {
		if hashed := s.stream.Hashed(); hashed-saved >= saveBytes || hashed > saved && time.Since(last) >= saveEvery {
			s.save(to)
			saved, last = hashed, time.Now()
		}
	}
}

// continuation continues the uploads of a want after a connection or a process has ended.
type continuation struct {
	queue *Queue
	want  *want
}

// keep keeps an upload that broke for the next attempt, or for a later process, if that may continue it. It
// reports false if the upload is to be cancelled.
func (c continuation) keep(ctx context.Context, s *sending, err error) bool {
	q, w := c.queue, c.want
	f, ended := failureOf(err), ctx.Err() != nil
	least := int64(progressBytes)
	if !refusedForNow(err) {
		least = keptFrom
	}
	if _, resumable := s.upload.(content.ResumableUpload); !resumable || ended && w.record == nil ||
		s.stream == nil || max(s.stream.Offset(), s.offset) < least ||
		errors.Is(s.stream.Err(), content.ErrMismatch) || errors.Is(err, errReread) ||
		f.dropped || f.side == atDestination && !ended && !passes(err) {
		return false
	}
	q.lock()
	defer q.unlock()
	r := w.item.registry
	if r.losesUploads() {
		c.reportLost()
		return false
	}
	if q.kept >= maxKept {
		return false
	}
	s.save(w.record)
	if max(s.stream.Offset(), s.offset) == w.item.blob.Size && s.completeSince.IsZero() { // it may be committing them
		s.completeSince = time.Now()
	}
	c.setBroken(s)
	return true
}

// broken returns the upload that the next attempt continues; nil if there is none.
func (c continuation) broken() *sending {
	c.queue.lock()
	defer c.queue.unlock()
	return c.want.broken
}

// putBroken is setBroken without the lock held.
func (c continuation) putBroken(s *sending) {
	c.queue.lock()
	defer c.queue.unlock()
	c.setBroken(s)
}

// setBroken sets the upload that the next attempt continues. queue.mu is held.
func (c continuation) setBroken(s *sending) {
	if c.want.broken != nil {
		c.queue.kept--
	}
	if c.want.broken = s; s != nil {
		c.queue.kept++
	}
}

// refusedForNow reports whether a registry, or a proxy in front of it, has refused a request because of load. It
// then has usually stored nothing of the body.
func refusedForNow(err error) bool {
	status := content.AnswerOf(err).Status
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// passes reports whether the cause of a failure may be temporary.
func passes(err error) bool {
	_, down := errors.AsType[*limit.DownError](err)
	return down || retry.Retryable(err)
}

// resume requests from the place how much of a broken upload it has. It returns nil if there is nothing to continue: some
// registries drop an upload whose connection broke. It fails with errCommitting while the place may be committing all bytes.
func (c continuation) resume(ctx context.Context) (*sending, error) {
	w, s := c.want, c.broken()
	if s == nil {
		var err error
		if s, err = c.recall(ctx); s == nil {
			return nil, err
		}
		c.putBroken(s)
	}
	if s.current { // the last attempt had no source
		c.putBroken(nil)
		return s, nil
	}
	offset, err := s.upload.(content.ResumableUpload).Offset(ctx) //nolint:forcetypeassert // keep has checked
	if err != nil && (ctx.Err() != nil || passes(err)) {
		return nil, w.failure(err)
	}
	c.putBroken(nil)
	most := max(s.stream.Offset(), s.offset)
	if s.earlier {
		most += maxAhead
	}
	if err == nil && offset == w.item.blob.Size && c.awaitsCommit(s) {
		return nil, errCommitting
	}
	if s.stuck++; offset > s.began {
		s.stuck = 0
	}
	if err == nil && offset > 0 && offset <= most && s.stuck < maxStuck {
		if s.earlier {
			s.inherited = offset
		}
		s.inherited = min(s.inherited, offset)
		s.offset, s.current, s.asOf, s.earlier = offset, true, time.Now(), false
		c.noteCut(true)
		return s, nil
	}
	if gone := errors.Is(err, content.ErrNotFound); !gone {
		c.cancelUpload(ctx, s.upload)
	} else if !s.earlier && s.completeSince.IsZero() { // a session ends with its commit, too, and may have been purged
		c.noteCut(false)
	}
	return nil, nil
}

// hold keeps an upload whose commit was not answered in time.
func (c continuation) hold(s *sending) {
	if _, resumable := s.upload.(content.ResumableUpload); !resumable || s.stream == nil {
		return
	}
	c.queue.lock()
	defer c.queue.unlock()
	s.completeSince = time.Now()
	s.save(c.want.record)
	c.setBroken(s)
}

// errIncomplete reports that a place does not have all bytes of a blob whose commit was not answered.
var errIncomplete = errors.New("the registry does not have all bytes")

// checkComplete returns errIncomplete if an upload that was held does not have all bytes. A session that is gone says
// nothing: it ends with the commit, and some registries know none that a request has open.
func (c continuation) checkComplete(ctx context.Context) error {
	s := c.broken()
	if s == nil {
		return nil
	}
	offset, err := s.upload.(content.ResumableUpload).Offset(ctx) //nolint:forcetypeassert // hold has checked
	if err == nil && offset < c.want.item.blob.Size {
		s.current = false
		return errIncomplete
	}
	return nil
}

// errCommitting reports that a place has all bytes of a blob and may be committing them.
var errCommitting = errors.New("the registry has all bytes, and may be committing them")

// awaitsCommit keeps an upload whose place has all bytes for another attempt, which checks for the blob first. It
// reports false after commitTime.
func (c continuation) awaitsCommit(s *sending) bool {
	if s.completeSince.IsZero() {
		s.completeSince = time.Now()
	}
	if time.Since(s.completeSince) >= commitTime(c.want.item.blob) {
		return false
	}
	s.full = true
	c.putBroken(s)
	return true
}

// committed reports whether a place has committed an upload although the answer was lost.
func (c continuation) committed(ctx context.Context) (bool, error) {
	w, s := c.want, c.broken()
	if s == nil || s.completeSince.IsZero() {
		return false, nil
	}
	there, err := w.place.Target.HasBlob(ctx, w.item.blob)
	if err != nil {
		return false, w.failure(err)
	}
	if !there && s.full && time.Since(s.completeSince) < commitTime(w.item.blob) {
		return false, errCommitting
	}
	if there {
		c.putBroken(nil)
	}
	return there, nil
}

// maxLost is the number of consecutive lost uploads after which a registry counts as one that does not keep them. A
// restart loses all open uploads, so losses within lostApart count once.
const (
	maxLost   = 2
	lostApart = 10 * time.Second
)

// verifyContinued checks that the place has the whole blob after its upload was continued. A request of a killed process may
// have committed the same session: distribution 3.1 then serves an empty blob. The next attempt sends it again.
func (c continuation) verifyContinued(ctx context.Context, s *sending) error {
	w := c.want
	if s.began == 0 {
		return nil
	}
	there, err := w.place.Target.HasBlob(ctx, w.item.blob)
	if there {
		c.noteRange(s, true)
	}
	if err == nil && !there {
		err = fmt.Errorf("blob %s: incomplete after its upload was resumed: %w", w.item.blob.Digest, content.ErrMismatch)
	}
	if err == nil {
		return nil
	}
	if !there {
		c.forget()
	}
	f := failureOf(w.failure(err))
	f.dropped = !there
	return f
}

// noteCut records whether the registry has kept an upload whose connection broke.
func (c continuation) noteCut(kept bool) {
	q, cut := c.queue, &c.want.item.registry.cut
	q.lock()
	defer q.unlock()
	switch {
	case kept:
		cut.losses = 0
		c.learn(abilityCut, &cut.verdict, yes)
	case time.Since(cut.lastAt) >= lostApart:
		c.noteLoss(abilityCut, cut)
	}
}

// noteRange records whether an upload could be continued from the offset that the registry stated.
func (c continuation) noteRange(s *sending, right bool) {
	q, ranges := c.queue, &c.want.item.registry.ranges
	q.lock()
	defer q.unlock()
	switch {
	case right:
		ranges.losses = 0
		c.learn(abilityRange, &ranges.verdict, yes)
	case ranges.verdict != yes && !s.asOf.Before(ranges.lastAt): // uploads that broke together count once
		c.noteLoss(abilityRange, ranges)
	}
}

// noteLoss counts a loss. q.mu is held.
func (c continuation) noteLoss(ability string, of *continuing) {
	of.lastAt = time.Now()
	if of.losses++; of.losses >= maxLost {
		c.learn(ability, &of.verdict, no)
		c.reportLost()
	}
}

// reportLost notifies the observer, once, that the registry does not continue uploads. q.mu is held.
func (c continuation) reportLost() {
	q, r := c.queue, c.want.item.registry
	if !r.lostReported {
		r.lostReported = true
		q.afterUnlock = append(q.afterUnlock, func() { q.options.Observer.UploadLost(r.name) })
	}
}

// refusesOffset reports whether a registry refuses the rest of an upload because of its offset.
func refusesOffset(err error) bool {
	answer := content.AnswerOf(err)
	return errors.Is(err, content.ErrMismatch) || answer.Status == http.StatusRequestedRangeNotSatisfiable ||
		answer.Status == http.StatusBadRequest && answer.Code == "BLOB_UPLOAD_INVALID"
}

// refusesRest reports whether a registry refuses the rest of an upload for a reason that may not apply to the whole blob.
func refusesRest(err error) bool {
	switch status := content.AnswerOf(err).Status; status {
	case 0:
		return errors.Is(err, content.ErrMismatch)
	case http.StatusUnauthorized, http.StatusForbidden:
		return false
	default:
		return status >= http.StatusBadRequest && status < http.StatusInternalServerError && !retry.Retryable(err)
	}
}

// openRecord opens the record of the upload of a want, if it may be worth it.
func (c continuation) openRecord() {
	q, w := c.queue, c.want
	_, ok := w.place.Target.(content.UploadResumer)
	if !ok || q.options.Uploads == nil || w.record != nil || w.item.blob.Size < recordedFrom {
		return
	}
	q.lock()
	full := q.records >= maxRecords || w.item.registry.losesUploads()
	if !full {
		q.records++
	}
	q.unlock()
	if full {
		return
	}
	if w.record = q.options.Uploads.OpenUpload(w.place.Target.Location().String(), w.item.blob.Digest); w.record == nil {
		q.lock()
		q.records--
		q.unlock()
	}
}

// closeRecord ends the record of a want, if it is open, or releases it.
func (c continuation) closeRecord(end func(Record)) {
	q, record := c.queue, c.want.record
	if record == nil {
		return
	}
	c.want.record = nil
	q.lock()
	q.records--
	q.unlock()
	end(record)
}

// recall returns the upload that an earlier process has left; nil if it has left none, or if the blob is there.
func (c continuation) recall(ctx context.Context) (s *sending, err error) {
	w := c.want
	if w.recalls == maxRecalls {
		return nil, nil
	}
	if c.openRecord(); w.record == nil {
		return nil, nil
	}
	w.recalls++
	session, state, known := w.record.Saved()
	if !known {
		w.recalls = maxRecalls
		c.forget()
		return nil, nil
	}
	s, err = c.reopen(ctx, session, state)
	switch {
	case s != nil:
		w.recalls = maxRecalls
	case w.recalls < maxRecalls && (ctx.Err() != nil || passes(err)):
		c.closeRecord(Record.Release)
		return nil, w.failure(err)
	default:
		w.recalls = maxRecalls
		c.forget()
		c.cancelEarlier(ctx, session)
	}
	return s, nil
}

func (c continuation) reopen(ctx context.Context, session string, state []byte) (*sending, error) {
	blob, target := c.want.item.blob, c.want.place.Target
	stream, err := content.ResumeStream(nil, blob, state)
	if err != nil {
		return nil, err
	}
	if there, err := target.HasBlob(ctx, blob); there || err != nil {
		return nil, err
	}
	c.want.reached = max(c.want.reached, stream.Offset())
	upload, err := target.(content.UploadResumer).ResumeUpload(ctx, blob, session) //nolint:forcetypeassert // openRecord has checked
	if err != nil {
		return nil, err
	}
	return &sending{upload: upload, stream: stream, earlier: true}, nil
}

// forgetEarlier cancels the upload that an earlier process has left of a blob that is there without it, and forgets it.
// queue.mu is held.
func (c continuation) forgetEarlier() {
	q, w := c.queue, c.want
	_, ok := w.place.Target.(content.UploadResumer)
	if !ok || q.options.Uploads == nil || w.item.blob.Size < recordedFrom {
		return
	}
	q.running.Go(func() {
		record := q.options.Uploads.OpenUpload(w.place.Target.Location().String(), w.item.blob.Digest)
		if record == nil {
			return
		}
		session, _, known := record.Saved()
		record.Forget()
		if known {
			c.cancelEarlier(q.ctx, session)
		}
	})
}

// cancelEarlier cancels an upload of an earlier process, if it is still there.
func (c continuation) cancelEarlier(ctx context.Context, session string) {
	target, _ := c.want.place.Target.(content.UploadResumer)
	if upload, err := target.ResumeUpload(ctx, c.want.item.blob, session); err == nil {
		c.cancelUpload(ctx, upload)
	}
}

// forget ends the record of an upload that is over.
func (c continuation) forget() { c.closeRecord(Record.Forget) }

// abandon ends the broken upload of a want that failed: it is left to a later process, or cancelled. queue.mu is held.
func (c continuation) abandon() {
	w := c.want
	if w.record == nil || w.broken == nil || w.broken.stuck > 0 {
		c.discard()
		return
	}
	record, upload := w.record, w.broken.upload
	c.setBroken(nil)
	w.record = nil
	c.queue.records--
	c.queue.afterUnlock = append(c.queue.afterUnlock, func() {
		if open, ok := upload.(content.Suspender); ok {
			_ = open.Suspend() // bytes that this loses are sent again
		}
		record.Release()
	})
}

// discard cancels the broken upload of a want, and forgets it. queue.mu is held.
func (c continuation) discard() {
	q, w := c.queue, c.want
	if s := w.broken; s != nil {
		q.running.Go(func() { c.cancelUpload(q.ctx, s.upload) })
	}
	if w.record != nil {
		q.afterUnlock = append(q.afterUnlock, w.record.Forget)
		w.record = nil
		q.records--
	}
	c.setBroken(nil)
}

// cancelTimeout is how long the cancellation of an upload may take.
const cancelTimeout = 5 * time.Second

// cancelUpload cancels an upload, also when ctx has ended; nil does nothing. It sends no request
// to a registry that is down: the registry will purge the session itself.
func (c continuation) cancelUpload(ctx context.Context, upload content.Upload) {
	if upload == nil || c.queue.options.Limiter.Down(c.want.item.registry.peer.Registry) {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer stop()
	_ = upload.Cancel(ctx)
}
