package blobs

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// reading is one reading of a blob from an offset.
type reading interface {
	io.ReadCloser
	// ready waits for the first byte.
	ready() error
	// verifiedBy returns the states of the stream that verifies the bytes; nil if none does.
	verifiedBy() *content.States
	// corrupt reports that the bytes did not match the blob. It returns the error to go on with.
	corrupt(err error) error
}

// reader reads a blob from its origins. When a read fails, it resumes at the offset or
// switches to the next origin, while the destination's body stays open.
type reader struct {
	queue    *Queue
	supply   *supply
	want     *want // the first one, which events name
	slots    *limit.Slots
	spooling bool // for a spool: no other slot is held, so that it may wait for one
	placed   bool // a read slot is held or was requested
	budget   *retry.Budget
	ctx      context.Context // of the reading; a Read has no other way to end

	from     Origin
	ahead    ahead // ranges that are read in parallel
	body     io.ReadCloser
	idle     *time.Timer        // cancels a body that yields no data
	stop     context.CancelFunc // of the body
	offset   int64
	start    int64     // offset at the beginning
	furthest int64     // offset at the last progress
	began    time.Time // of this attempt
	last     time.Time // when the last byte arrived
	failed   error     // how the reading ended; nil if it goes on
}

// newReader opens a blob at an offset for a want, with a read slot that the reader releases.
func newReader(ctx context.Context, w *want, slots *limit.Slots, budget *retry.Budget, offset int64) (*reader, error) {
	r := &reader{
		queue: w.item.supply.queue, supply: w.item.supply, want: w, slots: slots, budget: budget, ctx: ctx,
		offset: offset, start: offset, furthest: offset, last: time.Now(),
	}
	if err := r.reopen(nil); err != nil {
		slots.ReleaseRead()
		return nil, err
	}
	return r, nil
}

func (r *reader) verifiedBy() *content.States { return nil }

// ready returns at once, because newReader waits for an origin.
func (r *reader) ready() error { return nil }

// Read implements io.Reader. Its errors are failures, with the origin that they come from.
func (r *reader) Read(p []byte) (int, error) {
	for {
		switch {
		case r.ctx.Err() != nil:
			return 0, context.Cause(r.ctx)
		case r.failed != nil: // io.ReadFull drops an error that comes with the last byte it wants
			return 0, r.failed
		}
		n, err := r.read(p)
		if err == nil || err == io.EOF && r.offset >= r.supply.blob.Size { //nolint:errorlint // what wraps an end is a broken connection
			return n, err
		}
		switch {
		case err == io.EOF && r.offset == r.ahead.until: //nolint:errorlint // as above
			err = r.nextRequest()
		case err == io.EOF: //nolint:errorlint // as above
			err = &content.MismatchError{Want: r.supply.blob, GotSize: r.offset}
		case r.ahead.current != nil && refusesRange(err):
			r.refusesRanges()
			err = r.nextRequest()
		}
		if err != nil {
			if r.failed = r.reopen(err); r.failed != nil {
				return n, r.failed
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (r *reader) read(p []byte) (int, error) {
	r.idle.Reset(idleTimeout)
	asked := time.Now()
	n, err := r.body.Read(p)
	r.ahead.waited += time.Since(asked)
	if r.idle.Stop(); n > 0 {
		if r.ahead.current == nil {
			r.ahead.line.read.Add(int64(n))
		}
		r.count(int64(n))
		r.readAhead()
	}
	return n, err
}

func (r *reader) count(n int64) {
	start := r.offset
	r.offset += n
	r.last = time.Now()
	known := r.supply.reached.Load()
	for r.offset > known && !r.supply.reached.CompareAndSwap(known, r.offset) {
		known = r.supply.reached.Load()
	}
	r.queue.options.Observer.BytesRead(n, max(0, min(n, known-start))+r.supply.discarded.take(start, r.offset))
	if r.offset-r.furthest >= progressBytes || r.offset == r.supply.blob.Size {
		r.furthest = r.offset
		r.queue.lock()
		defer r.queue.unlock()
		r.budget.Progressed(r.offset)
	}
}

// reopen opens the next origin at the offset, after the current one failed with cause; nil at
// the beginning. It waits between attempts.
func (r *reader) reopen(cause error) error {
	for {
		if cause != nil {
			r.shut()
			if r.ctx.Err() != nil {
				return context.Cause(r.ctx)
			}
			if err := r.retry(cause); err != nil {
				return err
			}
		}
		if err := r.choose(); err != nil {
			return err
		}
		if cause = r.open(); cause == nil {
			return nil
		}
	}
}

// choose takes the slot of the best origin. It skips origins at other registries that have no free slot.
func (r *reader) choose() error {
	origins, last := r.supply.liveOrigins()
	if len(origins) == 0 {
		return last
	}
	slices.SortStableFunc(origins, func(a, b Origin) int { return r.rank(a) - r.rank(b) })
	var err error
	for _, o := range origins {
		if err = r.take(o.peer()); err == nil {
			if r.from.Source != nil && o.Source.Location() != r.from.Source.Location() {
				r.dropPrefetches(false)
			}
			r.from, r.began, r.ahead.line = o, time.Now(), r.queue.lines.of(o.Source)
			return nil
		}
		if !errors.Is(err, errTaken) {
			err = o.failure(err)
		}
	}
	return err
}

// rank puts origins at registries that are down last.
func (r *reader) rank(o Origin) int {
	if registry := o.peer().Registry; registry != "" && r.queue.options.Limiter.Down(registry) {
		return 1
	}
	return 0
}

// take gets a read slot: the first waits, another is taken where it is free at once, because
// a holder of a slot must not wait for another.
func (r *reader) take(peer limit.Peer) error {
	if !r.placed || r.spooling {
		r.placed = true
		return r.slots.Read(r.ctx, peer)
	}
	if !r.slots.Move(peer) {
		return errTaken
	}
	return nil
}

// retry waits before the next attempt to read, and returns an error if none is left. After a
// permanent failure it does not wait, because another origin is tried next.
func (r *reader) retry(cause error) error {
	r.supply.reportFailure(r.from, cause)
	if !retry.Retryable(cause) {
		return nil
	}
	if registry := r.from.peer().Registry; registry != "" && r.queue.options.Limiter.Down(registry) {
		return r.awaitUp(cause)
	}
	if _, silent := errors.AsType[*idleError](cause); silent && r.slots.Contended() {
		return r.from.failure(cause) // others can use the write slot meanwhile
	}
	r.queue.lock() // other readings may use the budget, too
	wait, again := r.budget.Failed(cause, time.Since(r.began))
	attempt := r.budget.Attempts()
	r.queue.unlock()
	if !again || time.Since(r.last)+wait > stallTimeout {
		f := *failureOf(r.from.failure(cause))
		f.final = !again
		return &f
	}
	err := r.queue.attribute(failureOf(r.from.failure(cause)), r.want.origin, r.want.place)
	r.queue.options.Observer.BlobRetrying(r.want.place.Ref, r.supply.blob, attempt, wait, err)
	return retry.Sleep(r.ctx, wait)
}

// awaitUp waits until there is another origin, or until a request may be sent to the origin's registry, which is down.
// The destination's body stays open meanwhile, because many registries drop an upload whose connection breaks. If no
// byte has passed, or if others can use the write slot, it returns the failure instead, and the limiter makes the next
// attempt wait. So it does for a spool, whose readers have the write slots.
func (r *reader) awaitUp(cause error) error {
	for r.offset > r.start && time.Since(r.last) < stallTimeout && !r.spooling && !r.slots.Contended() {
		live, _ := r.supply.liveOrigins()
		if slices.ContainsFunc(live, func(o Origin) bool { return o.peer() != r.from.peer() && r.rank(o) == 0 }) {
			return nil
		}
		if err := retry.Sleep(r.ctx, upEvery); err != nil {
			return err
		}
		if r.slots.MayRead() {
			return nil
		}
	}
	return r.from.failure(cause)
}

// nextRequest opens the origin at the offset, where the current request has ended.
func (r *reader) nextRequest() error {
	r.endRequest()
	r.shut()
	return r.open()
}

// open opens the origin at the offset: a prefetch, a range request, or, if the origin supports none,
// a request for the whole blob, whose first bytes are discarded.
func (r *reader) open() error {
	ctx, cancel := context.WithCancelCause(r.ctx)
	r.stop = func() { cancel(nil) }
	r.idle = time.AfterFunc(idleTimeout, func() { cancel(&idleError{}) })
	r.idle.Stop()
	blob, a := r.supply.blob, &r.ahead
	if r.offset == blob.Size && blob.Size > 0 { // only the commit is missing
		r.body = http.NoBody
		return nil
	}
	if p := r.nextPrefetch(ctx); p != nil {
		r.body = p
		return nil
	}
	a.from, a.until, a.began = r.offset, r.requestEnd(), time.Now()
	a.ranged = a.ranged || a.until < blob.Size
	if ranges, ok := r.from.Source.(content.RangeFetcher); ok && (a.from > 0 || a.until < blob.Size) && a.failed < enoughProof {
		body, err := ranges.FetchBlobRange(ctx, blob, a.from, a.until-a.from)
		if err == nil {
			a.latency, a.failed = time.Since(a.began), 0
			r.receive(ctx, body)
			return nil
		}
		switch {
		case refusesRange(err):
			r.refusesRanges()
		case content.AnswerOf(err).Status == http.StatusInternalServerError:
			a.failed++
			return err
		case !elsewhere(blob, err):
			return err
		}
	}
	r.dropPrefetches(true)
	a.until = blob.Size
	whole, err := r.from.Source.FetchBlob(ctx, blob)
	if urls, ok := r.from.Source.(content.URLFetcher); ok && elsewhere(blob, err) {
		whole, err = urls.FetchURLs(ctx, blob)
	}
	if err != nil {
		return &content.PartError{Part: blob, Err: err}
	}
	r.receive(ctx, whole)
	return r.skip(r.offset)
}

// receive starts the reading of a body and counts its request.
func (r *reader) receive(ctx context.Context, body io.ReadCloser) {
	r.body = &timedBody{body, ctx}
	r.ahead.line.requests.Add(1)
}

// refusesRange reports whether an origin has refused a range request, or answered it with something else. If the cause is
// another one, the request for the whole blob fails, too.
func refusesRange(err error) bool {
	switch status := content.AnswerOf(err).Status; status {
	case http.StatusNotFound, http.StatusTooManyRequests:
		return false
	default:
		return errors.Is(err, content.ErrUnsupported) || status >= http.StatusBadRequest && status < http.StatusInternalServerError
	}
}

// elsewhere reports whether an origin lacks a foreign layer that has URLs to read it from.
func elsewhere(blob content.Descriptor, err error) bool {
	return content.IsForeign(blob) && len(blob.URLs) > 0 && errors.Is(err, content.ErrNotFound)
}

// skip discards n bytes that were read before.
func (r *reader) skip(n int64) error {
	if n == 0 {
		return nil
	}
	r.offset = 0
	_, err := io.CopyN(io.Discard, readerFunc(r.read), n)
	if r.offset < n {
		r.offset = n
		if err == io.EOF { //nolint:errorlint // as above
			err = io.ErrUnexpectedEOF
		}
	}
	return err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// timedBody returns the [*idleError] that its context was cancelled with.
type timedBody struct {
	io.ReadCloser
	ctx context.Context // of the request
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if idle, is := errors.AsType[*idleError](context.Cause(b.ctx)); err != nil && is {
		err = idle
	}
	return n, err
}

// idleError means that an origin yielded no data in time. It is a timeout.
type idleError struct{}

func (*idleError) Error() string   { return "no data received for " + idleTimeout.String() }
func (*idleError) Timeout() bool   { return true }
func (*idleError) Temporary() bool { return true }

func (r *reader) shut() {
	if r.stop == nil {
		return
	}
	r.idle.Stop()
	r.stop()
	if r.body == nil {
		return
	}
	if r.ahead.current != nil {
		r.discard(r.ahead.current)
	} else {
		_ = r.body.Close()
	}
	if _, received := r.body.(*timedBody); received {
		r.ahead.line.requests.Add(-1)
	}
	r.body, r.ahead.current = nil, nil
}

// Close ends the reading and frees its slot.
func (r *reader) Close() error {
	r.shut()
	r.dropPrefetches(true)
	r.slots.ReleaseRead()
	return nil
}

// corrupt reports wrong bytes of the origin that was read last. If they may have come by range requests, its blobs are
// read whole for the rest of the run.
func (r *reader) corrupt(err error) error {
	if r.ahead.ranged {
		r.ahead.line.noRanges.Store(true)
	}
	return r.supply.reportCorrupt(r.from, err)
}
