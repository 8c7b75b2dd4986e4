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
)

// errTaken: another want has become the leader, or the stream, since this one was queued.
var errTaken = errors.New("another repository is served first")

// errDrained: the run is ending, and the blob has sent no byte.
var errDrained = errors.New("the run is ending")

// attempt is one attempt to copy a blob to the repository of a want, which holds a write slot.
type attempt struct {
	continuation
	slots  *limit.Slots
	source *opening // of the blob at its source; nil until the opening begins
}

// move copies the blob in the cheapest way: mount, check, then send.
func (a *attempt) move(ctx context.Context) (completion, error) {
	w := a.want
	if !w.unconfirmed.IsZero() {
		return a.confirm(ctx)
	}
	var open content.Upload
	defer func() { a.cancelUpload(ctx, open) }()
	for _, from := range a.mountCandidates() {
		granted, upload, err := a.mount(ctx, from)
		switch {
		case err != nil:
			return completion{}, err
		case granted:
			a.admit()
			return completion{Mounted, from}, nil
		case upload != nil:
			a.cancelUpload(ctx, open)
			open = upload
		}
	}
	if !a.lead() {
		return completion{}, errTaken
	}
	if there, err := a.committed(ctx); there || err != nil {
		return completion{outcome: Sent}, err
	}
	s, err := a.resume(ctx)
	if err != nil {
		return completion{}, err
	}
	if s == nil {
		if open == nil && a.expectsAbsent() {
			a.source = a.openSource(ctx, 0, true)
			defer a.source.close()
		}
		there, upload, err := a.check(ctx, open)
		open = upload
		switch {
		case err != nil:
			return completion{}, err
		case there:
			return completion{outcome: Exists}, nil
		case open == nil:
			if open, err = w.place.Target.StartUpload(ctx, w.item.blob); err != nil {
				return completion{}, w.failure(err)
			}
		}
		s, open = &sending{upload: open}, nil
	}
	a.admit()
	if err := a.send(ctx, s); err != nil {
		switch {
		case errors.Is(err, content.ErrUnconfirmed): // the registry may still be storing it
			a.hold(s)
		case !a.keep(ctx, s, err):
			a.cancelUpload(ctx, s.upload)
			a.forget()
		}
		return completion{}, err
	}
	a.slots.ReleaseRead()
	if err := a.verifyContinued(ctx, s); err != nil {
		return completion{}, err
	}
	a.checkProbe(ctx)
	return completion{outcome: Sent}, nil
}

// mountCandidates are the repositories to mount from: one that is known to have the blob, or else the hints.
func (a *attempt) mountCandidates() []string {
	a.queue.lock()
	from, _ := a.want.item.mountable(a.want)
	a.queue.unlock()
	if from != "" {
		return []string{from}
	}
	return a.hints()
}

func (a *attempt) admit() {
	q, w := a.queue, a.want
	q.lock()
	defer q.unlock()
	w.item.registry.admission(w.repository).granted = true
	w.endTrial()()
}

// lead makes the want the leader of its item. It reports false if another want leads, or if a mount will be possible later.
func (a *attempt) lead() bool {
	q, w := a.queue, a.want
	q.lock()
	defer q.unlock()
	it := w.item
	if _, wait := it.mountable(w); wait || it.leader != nil && it.leader != w && it.registry.shares(w.place.Target) {
		return false
	}
	if it.leader == nil {
		it.leader = w
	}
	return true
}

func (a *attempt) send(ctx context.Context, s *sending) error {
	q, w := a.queue, a.want
	if a.source == nil {
		a.source = a.openSource(ctx, s.start(), false)
		defer a.source.close()
	}
	body, err := a.source.wait()
	if err != nil {
		return err
	}
	if err := body.ready(); err != nil {
		return err
	}
	if !a.start() {
		return errDrained
	}
	a.openRecord()
	out := &countingReader{
		source: body, observer: q.options.Observer, offset: s.offset, reached: &w.reached, save: s.saver(w.record),
		progress: q.options.Observer.BlobStarted(w.place.Ref, w.item.blob, s.inherited, s.offset-s.inherited),
	}
	defer out.end()
	if err = s.feed(out, w.item.blob, a.verifiedBy(body)); err == nil {
		out.sending, s.current, s.began = true, false, s.offset
		s.completeSince, s.full = time.Time{}, false
	}
	if upload, ok := s.upload.(content.ResumableUpload); err == nil && ok {
		err = upload.CommitFrom(ctx, s.offset, s.stream)
	} else if err == nil {
		err = s.upload.Commit(ctx, s.stream)
	}
	if err == nil {
		return nil
	}
	out.progress.Add(s.inherited - s.offset - out.sent)
	if out.err != nil {
		return out.err
	}
	if wrong := s.stream.Err(); errors.Is(wrong, content.ErrMismatch) {
		return body.corrupt(wrong)
	}
	f := failureOf(w.failure(err))
	// What was too large has left nothing that an attempt from the first byte could continue.
	f.dropped = errors.Is(err, content.ErrNotFound) || s.offset == 0 && errors.Is(err, content.ErrTooLarge)
	if refusesRest(err) && (s.offset > 0 || content.AnswerOf(err).Status == http.StatusRequestedRangeNotSatisfiable) {
		// A 416 to a whole blob: bytes of a broken request have arrived, and the HTTP client has repeated that request.
		f.dropped = true
		switch {
		case errors.Is(err, content.ErrNotFound):
			a.noteCut(false)
		case s.offset > 0 && refusesOffset(err):
			a.noteRange(s, false)
		}
	}
	return f
}

// opening is the opening of a blob at its source.
type opening struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when body or err is set
	body   reading
	err    error
}

// openSource opens the blob at an offset: in a goroutine of its own if early is true. The caller must call close.
func (a *attempt) openSource(ctx context.Context, offset int64, early bool) *opening {
	ctx, cancel := context.WithCancel(ctx)
	o := &opening{cancel: cancel, done: make(chan struct{})}
	open := func() {
		defer close(o.done)
		o.body, o.err = a.want.item.supply.open(ctx, a.want, a.slots, offset)
	}
	if early {
		go open()
	} else {
		open()
	}
	return o
}

func (o *opening) wait() (reading, error) {
	<-o.done
	return o.body, o.err
}

func (o *opening) close() {
	o.cancel()
	if body, err := o.wait(); err == nil {
		_ = body.Close()
	}
}

// verifiedBy returns the states of the stream that verifies the bytes; nil if the bytes are to be verified on their way to
// the destination: nothing else has, or the destination is a local one, which would not notice a damaged spool.
func (a *attempt) verifiedBy(body reading) *content.States {
	if content.IsRereadable(a.want.place.Target) {
		return nil
	}
	return body.verifiedBy()
}

// start records that the want begins to send bytes. It reports whether it may.
func (a *attempt) start() bool {
	q, w := a.queue, a.want
	q.lock()
	defer q.unlock()
	if w.moving = w.moving || !q.draining; w.moving {
		w.last = nil
	}
	return w.moving
}

// confirm checks for a blob whose commit was not answered in time. If the place does not have all of its bytes, they
// did not arrive, as behind a proxy that has lost its registry: it fails with errIncomplete, and the upload is continued.
func (a *attempt) confirm(ctx context.Context) (completion, error) {
	w := a.want
	there, err := w.place.Target.HasBlob(ctx, w.item.blob)
	if err == nil && !there {
		err = a.checkComplete(ctx)
	}
	switch {
	case there:
		a.putBroken(nil)
		return completion{outcome: Sent}, nil
	case ctx.Err() != nil:
		return completion{}, context.Cause(ctx)
	case errors.Is(err, errIncomplete):
		return completion{}, err
	case time.Since(w.unconfirmed) < confirmFor:
		return completion{}, content.ErrUnconfirmed
	case err == nil:
		err = fmt.Errorf("blob %s: not found within %s after the upload: %w", w.item.blob.Digest, confirmFor, content.ErrUnconfirmed)
	}
	return completion{}, &failure{side: atDestination, err: errors.Join(err), final: true}
}

// atPeer adds the side to an error that the limiter returned instead of slots.
func (a *attempt) atPeer(err error) error {
	q, w := a.queue, a.want
	registry := ""
	if p, ok := errors.AsType[*limit.PauseError](err); ok {
		registry = p.Registry
	}
	if d, ok := errors.AsType[*limit.DownError](err); ok {
		registry = d.Registry
	}
	if registry == w.item.registry.peer.Registry {
		return w.failure(err)
	}
	q.lock()
	defer q.unlock()
	for _, o := range w.item.supply.origins() {
		if o.peer().Registry == registry {
			return o.failure(err)
		}
	}
	return w.origin.failure(err)
}

// countingReader counts the bytes that are sent, and keeps the error of the source apart from that of the destination.
type countingReader struct {
	source   io.Reader
	observer Observer
	progress Progress
	sent     int64
	offset   int64     // of the next byte in the blob
	reached  *int64    // how far the blob was sent
	sending  bool      // what is read is sent
	save     func()    // called before each read
	given    time.Time // when the last bytes were returned
	// reading and writing are the times that the source and the destination took.
	reading, writing time.Duration
	err              error
}

// measuredFrom is how many bytes a stream must have moved for its times to depend on the bandwidth: those of a small
// blob are round trips.
const measuredFrom = 1 << 20

// end reports the times. The time since the last bytes is that of the destination.
func (r *countingReader) end() {
	if r.sent < measuredFrom {
		return
	}
	if !r.given.IsZero() {
		r.writing += time.Since(r.given)
	}
	r.observer.StreamEnded(r.reading, r.writing)
}

func (r *countingReader) Read(p []byte) (int, error) {
	r.save()
	asked := time.Now()
	if !r.given.IsZero() {
		r.writing += asked.Sub(r.given)
	}
	n, err := r.source.Read(p)
	r.given = time.Now()
	r.reading += r.given.Sub(asked)
	if r.sending {
		r.sent += int64(n)
		r.progress.Add(int64(n))
		r.observer.BytesSent(int64(n), max(0, min(int64(n), *r.reached-r.offset)))
		r.offset += int64(n)
		*r.reached = max(*r.reached, r.offset)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
