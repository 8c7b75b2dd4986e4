// Package limit bounds the requests of a process to registries: by concurrency limits, request rates and bandwidths, pauses
// that registries ask for, the pull quotas of accounts, and a circuit breaker for registries that are down.
//
// Start at [Limiter.Acquire] for a request and at [Limiter.Enqueue] for a blob that goes from one registry to another.
// Neither holds a slot of a registry while it waits for one of the same class. The registry client reports every answer by
// [Limiter.Report]. From the answers the limiter learns pauses, pull quotas ([Limiter.Pulls]), and which registries are down.
//
// The package guarantees that no more slots are in use than a registry's window has, that blobs in opposite directions do
// not block each other, that no source takes more than half of a destination's write slots while others wait, that no more
// pulls are in flight than a quota has left, and that every wait ends: with a slot, an error, or its context. Only streams
// wait for a rate while they hold slots.
package limit

import (
	"cmp"
	"container/heap"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Class is the kind of a request. Each class has its own pauses and a share of the window; Pull has those of Small.
type Class uint8

// The classes.
const (
	// Read is for the bytes of a blob from a registry.
	Read Class = iota
	// Write is for the existence check, the upload session and the bytes of a blob that goes to a registry.
	Write
	// Small is for everything else: manifests, tags, listings.
	Small
	// Pull is for the GET of a manifest at a registry that counts pulls or may count them. It takes a slot of Small and
	// one of the account's pulls, and waits for the pauses of Small.
	Pull
)

const windows = 3 // of Read, Write and Small

// window is the class whose slots c takes.
func (c Class) window() Class {
	if c == Pull {
		return Small
	}
	return c
}

// Peer is a registry, or a local target, under an account. The zero Peer has no limits.
type Peer struct {
	// Registry and Account are those of a content.Location.
	Registry, Account string
}

// Options configures a limiter. The zero value works.
type Options struct {
	// MaxConnections, Rates and PullReserve are called when a registry is first needed, and by [Limiter.Reload]. Nil is the
	// zero value for all registries. MaxConnections bounds the requests in flight over all classes: zero is 192, and 1 and 2
	// count as 3, so that each class has a slot. PullReserve is how many pulls of each account are left for other clients.
	MaxConnections func(registry string) int
	Rates          func(registry string) Rates
	PullReserve    func(registry string) int
	// GiveUp is how long requests wait for a registry that is down, from the first failure on; 3 minutes if zero.
	GiveUp time.Duration
	// GiveUpNew is the same for a registry that has not answered yet in this process, which may be a mistyped name; GiveUp
	// if zero.
	GiveUpNew time.Duration
	// Paused is called, one call at a time for a registry, when a pause of at most retry.MaxRetryAfter begins, for which
	// requests wait, and when the registry's pauses are over: then the pause is nil. It must not call the limiter.
	// Nil: nothing is called.
	Paused func(registry string, pause *Pause)
	// Changed is called, with no lock held, when a registry goes down, with the cause, and when it answers again: then down
	// is nil. For a registry that is down because it refuses connections, which it also does while it restarts, Changed is
	// called after 3 seconds of refusals. Nil: nothing is called.
	Changed func(registry string, down *DownError)
}

// Limiter has the slots and the health of all registries. It may be used concurrently. Use one in a process: two would
// allow twice as many requests.
type Limiter struct {
	options Options

	// mu guards everything below and what it refers to: registries, pairs, queues, waiting
	// streams, slots. It is not held during calls of a caller's function.
	mu         sync.Mutex
	registries map[string]*registry
	arrivals   int64 // numbers requests and streams
	turns      int64 // numbers the turns of pairs
	reloads    int   // counts the calls of Reload
}

// New creates a limiter.
func New(options Options) *Limiter {
	if options.GiveUp == 0 {
		options.GiveUp = 3 * time.Minute
	}
	if options.GiveUpNew == 0 {
		options.GiveUpNew = options.GiveUp
	}
	return &Limiter{options: options, registries: map[string]*registry{}}
}

// Acquire waits for a slot, first come, first served, and before streams. It returns a
// [*DownError] if the registry was given up, a [*PauseError] if it is paused for longer than
// retry.MaxRetryAfter or its pull quota is used up, or ctx's cause. release may be called more than once.
func (l *Limiter) Acquire(ctx context.Context, p Peer, c Class) (release func(), err error) {
	return l.acquire(ctx, &request{peer: p, class: c})
}

// Try is Acquire for callers that can use another registry instead: it waits for a slot, but returns the [*DownError] or
// [*PauseError] of a registry that is down or paused at once.
func (l *Limiter) Try(ctx context.Context, p Peer, c Class) (release func(), err error) {
	return l.acquire(ctx, &request{peer: p, class: c, impatient: true})
}

func (l *Limiter) acquire(ctx context.Context, q *request) (func(), error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if q.peer.Registry == "" {
		return func() {}, nil
	}
	r := l.registry(q.peer.Registry)
	l.mu.Lock()
	r.enqueue(q, time.Now())
	waits := q.queue != nil
	l.mu.Unlock()
	if waits && q.class == Pull {
		l.announce(r)
	}
	if err := l.await(ctx, q); err != nil {
		return nil, err
	}
	if q.unslotted {
		return func() {}, nil
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		r.release(q.class, q.peer.Account, q.id, time.Now())
	}), nil
}

func (l *Limiter) await(ctx context.Context, q *request) error {
	select {
	case <-q.ended:
		return q.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.queue != nil {
		q.queue.registry.withdraw(q, time.Now())
		return context.Cause(ctx)
	}
	return q.err // ended at the same time as ctx
}

// Enqueue puts a stream into the queue of its pair of registries. The stream must not be in a queue; it may be enqueued
// again after Run was called.
func (l *Limiter) Enqueue(s *Stream) {
	if s.To.Registry == "" {
		go s.Run(&Slots{limiter: l}, nil)
		return
	}
	to, from := l.registry(s.To.Registry), l.source(s.From)
	l.mu.Lock()
	defer l.mu.Unlock()
	peers := [2]Peer{s.From, s.To}
	p := to.into[peers]
	if p == nil {
		p = newPair(peers, from, to)
	}
	p.enqueue(s, time.Now())
}

// Withdraw takes a stream out of its queue. It reports false if the stream is in no queue: Run was or will be called.
func (l *Limiter) Withdraw(s *Stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.pair == nil {
		return false
	}
	p := s.pair
	p.remove(s)
	for _, r := range p.ends {
		r.serve(time.Now())
	}
	return true
}

// Reorder changes the position of a stream in its queue. It does nothing if s is in no queue.
func (l *Limiter) Reorder(s *Stream, group, weight int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.pair != nil {
		s.Group, s.Weight = group, weight
		heap.Fix(&s.pair.order, s.place)
	}
}

// Answer is the outcome of a request.
type Answer struct {
	Peer  Peer
	Class Class
	// Item is what was requested. It distinguishes failures of one item from those of many.
	Item string
	// Status is the HTTP status; 0 if there was no answer.
	Status int
	// Err is why there was no answer.
	Err error
	// Refused: the connection was refused, so that nothing listens there now.
	Refused bool
	// RoundTrip is the time from sending to the header of the answer, or to the failure.
	RoundTrip time.Duration
	// RetryAfter is the delay that the registry requested; zero if none.
	RetryAfter time.Duration
	// Quota is what the answer states of the account's pulls; nil if nothing. A 429 to a pull is about the quota only
	// if Quota is set and no pulls remain.
	Quota *Quota
}

// Report records the outcome of a request. Do not report a request that ended for a local cause (its context, the source
// of its body).
func (l *Limiter) Report(a Answer) {
	if a.Peer.Registry == "" {
		return
	}
	r := l.registry(a.Peer.Registry)
	now := time.Now()
	l.mu.Lock()
	before := r.health.notice
	r.report(a, now)
	changed := before != r.health.notice
	var down *DownError
	if r.health.notice {
		down = r.downError(now)
	}
	l.mu.Unlock()
	if changed && l.options.Changed != nil {
		l.options.Changed(r.name, down)
	}
	l.announce(r)
}

// announce calls Options.Paused if a pause that requests wait for has begun, has become longer, or is over.
func (l *Limiter) announce(r *registry) {
	if l.options.Paused == nil {
		return
	}
	r.announcing.Lock()
	defer r.announcing.Unlock()
	if pause, changed := l.pauseToAnnounce(r); changed {
		l.options.Paused(r.name, pause)
	}
}

// pauseToAnnounce returns the pause that has begun; nil if the one that was announced is over.
func (l *Limiter) pauseToAnnounce(r *registry) (pause *Pause, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	current, last := r.awaited(now), r.announced
	switch begins := current.Until.Sub(last) >= time.Second; {
	case begins, current.Until.After(now) && !last.After(now):
		r.announced = current.Until
		time.AfterFunc(current.Until.Sub(now), func() { l.announce(r) })
		return &current, begins
	case !last.IsZero() && !last.After(now):
		r.announced = time.Time{}
		return nil, true
	}
	return nil, false
}

// Down reports whether a registry is down: consecutive requests failed, and none has succeeded since.
func (l *Limiter) Down(registry string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.registries[registry]
	return r != nil && r.health.isDown(time.Now())
}

// Failure returns why a registry is down; nil if it is not.
func (l *Limiter) Failure(registry string) *DownError {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, now := l.registries[registry], time.Now()
	if r == nil || !r.health.isDown(now) {
		return nil
	}
	return r.downError(now)
}

// GivenUp reports whether a registry has been down for so long that no request waits for it any more. A request that
// is still sent is a test, and its failure is final.
func (l *Limiter) GivenUp(registry string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.registries[registry]
	return r != nil && r.health.givenUp(time.Now())
}

// RoundTrip returns the shortest round trip of a small request to a registry; zero if there was none.
func (l *Limiter) RoundTrip(registry string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.registries[registry]; r != nil {
		return r.line.roundTrip
	}
	return 0
}

// AnsweredSince reports whether a registry has answered a request successfully since a time. If it has, failures of
// other requests do not mean that it is down.
func (l *Limiter) AnsweredSince(registry string, since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.registries[registry]
	return r != nil && r.health.good.After(since)
}

// Check is for requests that take no slot. It returns the [*DownError] of a registry that was given up. Once in 30
// seconds it returns nil, and that caller's request is a test.
func (l *Limiter) Check(registry string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, now := l.registries[registry], time.Now()
	if r == nil || !r.health.givenUp(now) {
		return nil
	}
	if r.health.due(now) {
		r.begin(l.arrival(), now)
		return nil
	}
	return r.downError(now)
}

// registry finds or creates the state of a registry. l.mu is not held.
func (l *Limiter) registry(name string) *registry {
	for {
		l.mu.Lock()
		r, reloads := l.registries[name], l.reloads
		l.mu.Unlock()
		if r != nil {
			return r
		}
		r = l.newRegistry(name)
		l.mu.Lock()
		if l.registries[name] == nil && l.reloads == reloads { // else the settings were reloaded after they were read
			l.registries[name] = r
		}
		l.mu.Unlock()
	}
}

// source is the registry of a peer to read from; nil for the zero Peer.
func (l *Limiter) source(p Peer) *registry {
	if p.Registry == "" {
		return nil
	}
	return l.registry(p.Registry)
}

func (l *Limiter) arrival() int64 {
	l.arrivals++
	return l.arrivals
}

// WaitRequest waits until a stream may send one more request to a registry, under the slots that it has. The error is
// ctx's cause, or the [*PauseError] of a registry that is paused. The other requests count with their slots.
func (l *Limiter) WaitRequest(ctx context.Context, p Peer, c Class) error {
	if l.pace(p.Registry).requests == nil || c.window() == Small {
		return nil
	}
	_, err := l.acquire(ctx, &request{peer: p, class: c, impatient: true, unslotted: true})
	return err
}

// Piece returns how many bytes to read at once from a registry whose bandwidth is bounded, so that each of 192 streams
// that share the bandwidth waits for about a second. Zero means that there is no bound.
func (l *Limiter) Piece(registry string) int {
	bound := l.pace(registry).rates.Bandwidth.At(time.Now())
	if bound == 0 {
		return 0
	}
	return int(min(max(bound/200, 512), byteBurst))
}

// WaitBytes waits for as long as the bandwidth of a registry requires for n bytes, in either direction. The error is
// ctx's cause.
func (l *Limiter) WaitBytes(ctx context.Context, registry string, n int) error {
	return l.pace(registry).waitBytes(ctx, n)
}

func (l *Limiter) pace(registry string) *pace { return l.registry(registry).pace.Load() }

// Reload calls Rates, MaxConnections and PullReserve of [Options] again. Bytes that wait already keep the old rate.
func (l *Limiter) Reload() {
	l.mu.Lock()
	l.reloads++
	all := slices.Collect(maps.Values(l.registries))
	l.mu.Unlock()
	for _, r := range all {
		rates, most, reserve := l.settings(r.name)
		l.mu.Lock()
		r.pace.Store(newPace(r, rates))
		r.reserve = reserve
		for _, b := range r.budgets {
			b.serve(time.Now())
		}
		if r.window.limitTo(most, time.Now()) {
			r.limit = divide(r.window.size)
		}
		r.wake(time.Now())
		l.mu.Unlock()
	}
}

// settings returns the configured limits of a registry. l.mu is not held.
func (l *Limiter) settings(registry string) (rates Rates, connections, reserve int) {
	if l.options.Rates != nil {
		rates = l.options.Rates(registry)
	}
	if l.options.MaxConnections != nil {
		connections = l.options.MaxConnections(registry)
	}
	if l.options.PullReserve != nil {
		reserve = l.options.PullReserve(registry)
	}
	return rates, connections, reserve
}

func (l *Limiter) newRegistry(name string) *registry {
	rates, connections, reserve := l.settings(name)
	w := newWindow(connections)
	r := &registry{
		limiter: l, name: name, window: w, limit: divide(w.size), reserve: reserve,
		health: health{giveUp: l.options.GiveUp, giveUpNew: l.options.GiveUpNew},
		queues: map[queueKey]*queue{}, into: map[[2]Peer]*pair{}, outOf: map[[2]Peer]*pair{}, targets: map[string]time.Time{},
		readers: map[string]int{}, reads: map[string]int{}, writes: map[string]int{},
		pauses: map[pauseKey]*pause{}, waits: map[Cause]waits{}, budgets: map[string]*budget{},
	}
	r.pace.Store(newPace(r, rates))
	return r
}

// Bounds returns the limits that requests waited for, the one with the longest wait first.
func (l *Limiter) Bounds() []Bound {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var all []Bound
	for name, r := range l.registries {
		for cause, w := range r.waits {
			if waited := w.until(now); waited > 0 {
				all = append(all, Bound{name, cause, waited})
			}
		}
	}
	slices.SortFunc(all, func(a, b Bound) int {
		return cmp.Or(cmp.Compare(b.Waited, a.Waited), cmp.Compare(a.Registry, b.Registry), cmp.Compare(a.Cause, b.Cause))
	})
	return all
}
