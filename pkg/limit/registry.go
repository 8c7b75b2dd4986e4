package limit

import (
	"container/list"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/retry"
)

// registry is the state of one registry: its slots, the queues for them, its health and its pauses.
type registry struct {
	limiter     *Limiter
	name        string
	pace        atomic.Pointer[pace]
	window      window
	limit, used [windows]int // limit is how the window is divided

	queues map[queueKey]*queue // of requests; none is empty
	// readers counts the streams with a write slot at a registry that wait for a read slot here, and reads those that have one.
	readers, reads map[string]int
	// targets are the registries that streams from here were queued for, and when the last was.
	targets map[string]time.Time
	// writes counts the write slots in use, by source registry. carried is the size of the blobs of these streams, in bytes.
	writes  map[string]int
	carried int64
	// into and outOf are the pairs with waiting streams.
	into, outOf map[[2]Peer]*pair
	// waiting counts the requests and streams that wait for a slot here, and the streams that will read here.
	waiting int

	line   line
	health health
	pauses map[pauseKey]*pause
	waits  map[Cause]waits
	bound  Cause // what requests or streams wait for; empty if none wait
	// budgets are the pull quotas, by account. reserve is how many pulls of each are never taken.
	budgets map[string]*budget
	reserve int
	// countsNone: its answers state no quota.
	countsNone bool

	// announcing is held during calls of Options.Paused, so that they come in order. It is taken before the limiter's lock.
	announcing sync.Mutex
	announced  time.Time // the end of the pause that was reported to Options.Paused

	timer  *time.Timer // nil or stopped if wakeAt is zero
	wakeAt time.Time
}

// request waits for a slot for itself (Limiter.Acquire), or for a read slot for a stream (Slots.Read).
type request struct {
	peer      Peer
	class     Class
	impatient bool   // does not wait for a registry that is down or paused
	unslotted bool   // is sent under a slot of a stream
	slots     *Slots // of the stream; nil if none
	pulls     *Pulls // of the image; nil if none

	id      int64 // by arrival
	queue   *queue
	element *list.Element // in queue
	ended   chan struct{}
	err     error
}

type queueKey struct {
	account   string
	class     Class
	impatient bool
	to        string // where a stream that is to read goes
	reserved  bool   // the pull is reserved
	unslotted bool
}

// window is the class with whose requests those of the key are served, in their order.
func (k queueKey) window() Class {
	if k.unslotted {
		return Small
	}
	return k.class.window()
}

// rated reports whether the requests of the key count for requestsPerSecond. A read slot is for several requests, which
// are rated one by one.
func (k queueKey) rated() bool { return k.window() == Small }

// queue is the waiting requests of one key, first come, first served.
type queue struct {
	registry *registry
	key      queueKey
	requests list.List
}

func (q *queue) head() *request {
	first, _ := q.requests.Front().Value.(*request)
	return first
}

// enqueue adds a request, and serves or refuses it if it need not wait.
func (r *registry) enqueue(q *request, now time.Time) {
	if q.id == 0 {
		q.id = r.limiter.arrival()
	}
	q.ended = make(chan struct{})
	key := queueKey{account: q.peer.Account, class: q.class, impatient: q.impatient, to: q.slots.to(), unslotted: q.unslotted}
	if q.pulls != nil && q.pulls.reserved > 0 {
		q.pulls.reserved--
		key.reserved = true
	}
	if r.queues[key] == nil {
		r.queues[key] = &queue{registry: r, key: key}
	}
	q.queue = r.queues[key]
	q.element = q.queue.requests.PushBack(q)
	r.waiting++
	if q.slots != nil {
		r.readers[key.to]++
	}
	r.serveRequests(key.window(), now)
	if q.queue != nil {
		if err := r.refusal(q.id, key, now); err != nil {
			r.end(q, err)
		}
	}
	r.noteBound(now)
	r.arm(now)
}

// withdraw removes a request whose caller no longer waits.
func (r *registry) withdraw(q *request, now time.Time) {
	if r.unreserve(q) {
		r.budget(q.peer.Account).serve(now)
	}
	r.remove(q)
	r.serve(now)
}

// serve gives the free slots to what waits, after a slot or a place in a queue has become free: it may be for any class.
func (r *registry) serve(now time.Time) {
	for window := range Class(windows) {
		r.serveRequests(window, now)
	}
	r.noteBound(now)
	r.arm(now)
}

func (r *registry) remove(q *request) {
	if q.slots != nil {
		r.readers[q.queue.key.to]--
	}
	q.queue.requests.Remove(q.element)
	if q.queue.requests.Len() == 0 {
		delete(r.queues, q.queue.key)
	}
	q.queue = nil
	r.waiting--
}

// unreserve gives back the reserved pull of a request that is not sent, and reports whether it had one.
func (r *registry) unreserve(q *request) bool {
	if q.queue.key.reserved {
		r.budget(q.peer.Account).held--
	}
	return q.queue.key.reserved
}

// end removes a request and wakes its caller.
func (r *registry) end(q *request, err error) {
	if err != nil {
		r.unreserve(q)
	}
	r.remove(q)
	q.err = err
	close(q.ended)
}

// release frees a slot. The account matters for Pull.
func (r *registry) release(c Class, account string, id int64, now time.Time) {
	r.used[c.window()]--
	if c == Pull {
		r.budget(account).release(now)
	}
	if r.health.end(id) || c == Pull {
		r.wake(now) // another test may begin
		return
	}
	r.serve(now)
}

// free reports whether a class may take one more slot. It may not if the class has reached its limit, if the window has no
// slot left (one stays free for each class that has none), if it has used its third and another class waits for its own,
// if streams share a line whose bandwidth is the limit, or, for small requests, if 16 are in flight to a registry that
// has not answered yet. A class without a slot always gets one: the window may have shrunk below what the others use, and
// a stream with a write slot may wait for a read slot.
func (r *registry) free(window Class) bool {
	if r.used[window] == 0 {
		return true
	}
	switch {
	case window == Write && r.sharesLine(),
		window == Small && r.health.good.IsZero() && r.used[Small] >= firstWindow/windows, // until it has answered
		r.window.size >= firstWindow && r.used[window] >= r.window.size/windows && r.othersWait(window):
		return false
	}
	inUse := 1
	for class, used := range r.used {
		if inUse += used; used == 0 && Class(class) != window {
			inUse++
		}
	}
	return r.used[window] < r.limit[window] && inUse <= r.window.size
}

// othersWait reports whether requests or streams of another class wait that has not used its third of the window.
func (r *registry) othersWait(window Class) bool {
	own, now := r.window.size/windows, time.Now()
	for key, q := range r.queues {
		if class := key.window(); class != window && !key.unslotted && r.used[class] < own && r.admits(q.head().id, key, now) {
			return true
		}
	}
	return window != Write && r.used[Write] < own && len(r.into) > 0 && !r.sharesLine()
}

// sharesLine reports whether no further stream may start, because the bandwidth limits those in flight.
func (r *registry) sharesLine() bool {
	return r.used[Write] >= fewStreams && r.carried >= fewBytes && r.line.isLimit()
}

func (r *registry) mostWrites() int {
	if r.line.isLimit() {
		return min(r.limit[Write], fewStreams)
	}
	return r.limit[Write]
}

// serveRequests gives the free slots of a window to the requests that came first and may go, then to streams.
func (r *registry) serveRequests(window Class, now time.Time) {
	for next := r.nextRequest(window, now); next != nil; next = r.nextRequest(window, now) {
		if next.queue.key.rated() {
			r.pace.Load().takeRequest(now)
		}
		if !next.unslotted {
			r.take(window, next.id, now)
		}
		if next.class == Pull {
			r.budget(next.peer.Account).take(next.queue.key.reserved, now)
		}
		if next.slots != nil {
			next.slots.from, next.slots.carried = r, true
			r.reads[next.slots.to()]++
		}
		r.end(next, nil)
	}
	switch window {
	case Read: // so few streams may wait for a read slot now that more may start
		for _, p := range r.outOf {
			p.to.serveStreams(now)
		}
	case Write:
		r.serveStreams(now)
	}
}

// nextRequest chooses the request that came first. One for a destination that has half of the read slots goes after those
// for others, and while others are known, no destination has more than three quarters: one that is slow, or hangs, leaves
// some for the next ones.
func (r *registry) nextRequest(window Class, now time.Time) (next *request) {
	half, most := max(1, r.limit[Read]/2), r.mostReads(now)
	greedy := false // next goes to a destination that has its half
	free := r.free(window)
	for key, q := range r.queues {
		first := q.head()
		if key.window() != window || !free && !key.unslotted || !r.admits(first.id, key, now) ||
			key.to != "" && r.reads[key.to] >= most {
			continue
		}
		over := key.to != "" && r.reads[key.to] >= half
		if next == nil || greedy && !over || greedy == over && first.id < next.id {
			next, greedy = first, over
		}
	}
	return next
}

func (r *registry) mostReads(now time.Time) int {
	known := 0
	for _, last := range r.targets {
		if now.Sub(last) < agedAfter {
			known++
		}
	}
	if known < 2 {
		return r.limit[Read]
	}
	return max(1, r.limit[Read]*3/4)
}

func (r *registry) take(window Class, id int64, now time.Time) {
	r.used[window]++
	r.begin(id, now)
}

// begin records the start of a request or stream. If the registry is down, it is a test.
func (r *registry) begin(id int64, now time.Time) {
	if r.health.isDown(now) && r.health.test != id {
		r.health.test, r.health.tested = id, now
		r.arm(now)
	}
}

// mayReadNow reports whether a read slot is free, and the registry is neither down nor paused.
func (r *registry) mayReadNow(id int64, from Peer, now time.Time) bool {
	return r.free(Read) && !r.health.isDown(now) && r.admits(id, queueKey{account: from.Account, class: Read}, now)
}

// readersWait reports whether a stream waits for a read slot here, or for both of its slots.
func (r *registry) readersWait(now time.Time) bool {
	for key := range r.queues {
		if key.window() == Read {
			return true
		}
	}
	for _, p := range r.outOf {
		if p.to.free(Write) && p.head(now) != nil {
			return true
		}
	}
	return false
}

func (r *registry) serveStreams(now time.Time) {
	for r.free(Write) {
		s := r.nextStream(now)
		if s == nil {
			return
		}
		s.pair.start(s, now)
	}
}

// nextStream chooses among the heads of the pairs: first an aged one; then the one whose source has the fewest write slots
// in use; then the one of the pair that was served longest ago. Age does not count for a source that has half of the slots
// while another one has fewer.
func (r *registry) nextStream(now time.Time) *Stream {
	fewest := r.mostWrites()
	for peers, p := range r.into {
		if n := r.writes[peers[0].Registry]; n < fewest && p.head(now) != nil {
			fewest = n
		}
	}
	half := max(1, r.mostWrites()/2)
	var best *Stream
	var least [4]int64 // the sort key of best
	for peers, p := range r.into {
		s := p.head(now)
		if s == nil {
			continue
		}
		inUse, young := r.writes[peers[0].Registry], int64(1)
		if s.aged(now) && (inUse < half || fewest >= half) {
			young = 0
		}
		key := [4]int64{young, int64(inUse), p.turn, s.id}
		if best == nil || slices.Compare(key[:], least[:]) < 0 {
			best, least = s, key
		}
	}
	return best
}

// admits reports whether a request or stream of an account may go now, if there is a slot.
func (r *registry) admits(id int64, k queueKey, now time.Time) bool {
	switch {
	case r.pause(k.account, k.class, now) != nil, k.rated() && !r.pace.Load().allowsRequest(now):
		return false
	case k.unslotted:
		return true
	}
	return r.health.admits(id, now) && (k.class != Pull || r.budget(k.account).admits(k.reserved, now))
}

// pause returns the pause that a request of a class waits for; nil if there is none.
func (r *registry) pause(account string, c Class, now time.Time) *pause {
	if p := r.pauses[pauseKey{account, c.window()}]; p != nil && p.until.After(now) {
		return p
	}
	return nil
}

// refusal returns why a request or stream must not wait; nil if it may. The id 0 is any request but the test in flight.
func (r *registry) refusal(id int64, k queueKey, now time.Time) error {
	ownTest := id != 0 && r.health.test == id
	if r.health.isDown(now) && !ownTest && !k.unslotted && (k.impatient || r.health.givenUp(now)) {
		return r.downError(now)
	}
	p := r.pause(k.account, k.class, now)
	if p != nil && (k.impatient || p.until.Sub(now) > retry.MaxRetryAfter) {
		return &PauseError{Registry: r.name, Class: k.class, Until: p.until}
	}
	if k.class == Pull && !k.reserved {
		if spent := r.budget(k.account).refusal(k.impatient, now); spent != nil {
			return spent
		}
	}
	return nil
}

func (r *registry) downError(now time.Time) *DownError {
	h := &r.health
	return &DownError{Registry: r.name, Since: h.first, GiveUp: h.giveUpAfter(), GivenUp: h.givenUp(now), Err: h.cause}
}

func (r *registry) report(a Answer, now time.Time) {
	resized := a.Status != 0 && !a.usedUp() && r.window.answered(a, r.used, r.wants(now).slot, now)
	if resized {
		r.limit = divide(r.window.size)
	}
	if a.Class.window() == Small && a.Status != 0 {
		r.line.answered(a.RoundTrip)
	}
	key := pauseKey{a.Peer.Account, a.Class.window()}
	if a.Class == Pull || a.Quota != nil {
		r.budget(a.Peer.Account).report(a, now)
		defer r.wake(now)
	}
	switch {
	case isFailure(a):
		r.health.failed(a, now)
		if !r.health.down && !resized {
			return
		}
	case a.usedUp(): // the budget knows until when
		r.health.answered(a, now)
	case a.RetryAfter > 0 && (a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable):
		p := r.pauseOf(key)
		if a.Status == http.StatusTooManyRequests || p.busy.isOther(a.Item, now) {
			p.extend(now, a.RetryAfter, a.Status, true)
		} else if key.class == Small && a.RetryAfter <= retry.MaxRetryAfter {
			p.item = Pause{now.Add(a.RetryAfter), a.Status, true}
		}
		r.health.answered(a, now)
	case a.Status == http.StatusTooManyRequests && key.class == Small:
		p := r.pauseOf(key)
		if b := r.budgets[a.Peer.Account]; b != nil && b.known { // Docker Hub limits the requests in a minute
			p.slowDown(&p.busy, a.Item, now)
		} else if r.inFlight() <= leastWindow { // else the window shrinks
			p.slowDown(&p.refused, a.Item, now)
		}
		r.health.answered(a, now)
	default:
		if p := r.pauses[key]; p != nil {
			p.refused = lastItem{}
		}
		if !r.health.answered(a, now) && !resized {
			return
		}
	}
	r.wake(now)
}

func (r *registry) waitingPulls(account string) (n int) {
	for key, q := range r.queues {
		if key.class == Pull && key.account == account {
			n += q.requests.Len()
		}
	}
	return n
}

func (r *registry) inFlight() (n int) {
	for _, used := range r.used {
		n += used
	}
	return n
}

func (r *registry) pauseOf(key pauseKey) *pause {
	p := r.pauses[key]
	if p == nil {
		p = &pause{}
		r.pauses[key] = p
	}
	return p
}

// awaited returns the longest pause that requests wait for; the zero Pause if there is none.
func (r *registry) awaited(now time.Time) (longest Pause) {
	for _, p := range r.pauses {
		if p.waited && p.until.After(now) && p.until.After(longest.Until) {
			longest = Pause{p.until, p.status, p.asked}
		}
		if p.item.Until.After(now) && p.item.Until.After(longest.Until) {
			longest = p.item
		}
	}
	for _, b := range r.budgets {
		if b.awaited(now) && b.until.After(longest.Until) {
			longest = Pause{Until: b.until}
		}
	}
	return longest
}

func (r *registry) budget(account string) *budget {
	b := r.budgets[account]
	if b == nil {
		b = &budget{registry: r, account: account, uncertain: math.MaxInt, free: r.countsNone}
		r.budgets[account] = b
	}
	return b
}

// wake serves or refuses what waits for the registry, after a change of its health or pauses.
func (r *registry) wake(now time.Time) {
	r.refuse(now)
	r.serveRequests(Small, now)
	r.serve(now)
}

func (r *registry) refuse(now time.Time) {
	for key, q := range r.queues {
		if r.refusal(0, key, now) == nil {
			continue
		}
		for e := q.requests.Front(); e != nil; {
			waiting, _ := e.Value.(*request)
			e = e.Next()
			if err := r.refusal(waiting.id, key, now); err != nil {
				r.end(waiting, err)
			}
		}
	}
	for _, p := range r.into {
		p.refuse(r, Write, now)
	}
	for _, p := range r.outOf {
		p.refuse(r, Read, now)
	}
}

// arm sets the timer to the next event: the end of a pause, the next test, giving up, or the turn of an image that waits for
// pulls. It stops the timer if nothing waits.
func (r *registry) arm(now time.Time) {
	if !r.wakeAt.IsZero() && !r.wakeAt.After(now) {
		return // the timer has fired, and its function arms it again
	}
	var at time.Time
	sooner := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, b := range r.budgets {
		sooner(b.nextTurn(now))
	}
	if r.waiting > 0 {
		for _, p := range r.pauses {
			sooner(p.until)
		}
		for _, b := range r.budgets {
			sooner(b.next())
		}
		for key := range r.queues {
			if key.rated() {
				sooner(r.pace.Load().nextRequest(now))
			}
		}
		if r.health.isDown(now) {
			sooner(r.health.first.Add(r.health.giveUpAfter()))
			sooner(r.health.nextTest(now))
		}
	}
	if at.Equal(r.wakeAt) {
		return
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.wakeAt = at
	if at.IsZero() {
		return
	}
	r.timer = time.AfterFunc(at.Sub(now), func() {
		r.limiter.mu.Lock()
		defer r.limiter.mu.Unlock()
		if r.wakeAt.Equal(at) {
			r.wakeAt = time.Time{}
			now := time.Now()
			for _, b := range r.budgets {
				b.serve(now)
			}
			r.wake(now)
		}
	})
}
