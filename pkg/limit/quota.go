package limit

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/retry"
)

const (
	// defaultWindow is the window of a pull quota whose answers do not state it: Docker Hub's ("Usage
	// and limits").
	defaultWindow = 6 * time.Hour
	// probeEvery is how often a pull is sent while the quota of an account is unknown.
	probeEvery = time.Second
	// assumedPulls is what an image is taken to need until its manifests are read: an official image
	// of Docker Hub has up to 16 children, and signatures.
	assumedPulls = 32
	// maxTurnWait is how long images wait for an earlier one that reserves no pulls: its destination may not
	// answer.
	maxTurnWait = 10 * time.Second
)

// Quota is what an answer states about the pulls of an account.
type Quota struct {
	// Remaining is how many pulls are left; negative if the answer does not state it.
	Remaining int
	// Window is the time after which the quota is full again; zero if the answer does not state it.
	Window time.Duration
}

// budget is the pull quota of an account at a registry, as far as it is known.
type budget struct {
	registry *registry
	account  string

	// known: the quota was stated. free: an answer to a pull stated none, so that there is none.
	// If neither holds, one pull is sent at a time, to find out.
	known, free bool
	remaining   int // as stated last
	// until is when the quota is full again. It is an estimate, from the first answer that stated the
	// window, unless exact.
	until time.Time
	exact bool
	// refusedSince is when a pull was refused after an answer that allowed pulls, or after a pause in which none was sent. What
	// a registry requests repeatedly does not delay a run without end.
	refusedSince time.Time
	// stated is when the last answer arrived that stated no more than remaining. One that states more
	// is newer only if its request was sent later; else it is uncertain, and the least such number is kept.
	stated    time.Time
	uncertain int
	renewed   time.Time // when the window was seen to begin: answers to earlier requests belong to the previous one
	// lost are pulls without an answer since lostAt, which the registry may have counted.
	lost   int
	lostAt time.Time

	inFlight int // pulls that hold a slot
	settled  int // those of them whose answers have stated what is left
	held     int // pulls that are reserved
	probed   time.Time

	plans   []*Pulls // open ones, by order
	waiting int      // plans that wait in Reserve
	short   bool     // too few pulls were left for an image that had begun
	// forWindow counts those of the plans that wait for the next window.
	forWindow int
}

// expire forgets a quota whose window has ended: the next pull shows what the new window has.
func (b *budget) expire(now time.Time) {
	if b.known && !now.Before(b.until) {
		b.known, b.free, b.short, b.lost, b.uncertain = false, false, false, 0, math.MaxInt
	}
}

// left returns how many pulls may still be taken, including those that are reserved or in flight.
func (b *budget) left() int { return b.remaining - b.lost - b.registry.reserve }

// available returns how many pulls are left without those.
func (b *budget) available() int { return b.left() - (b.inFlight - b.settled) - b.held }

func (b *budget) admits(reserved bool, now time.Time) bool {
	switch b.expire(now); {
	case b.free || reserved:
		return true
	case !b.known:
		return b.inFlight == 0 || now.Sub(b.probed) >= probeEvery
	}
	return b.available() > 0
}

// refusal returns why a pull must not wait; nil if it may.
func (b *budget) refusal(impatient bool, now time.Time) *PauseError {
	if b.expire(now); !b.known || b.left()-b.held > 0 {
		return nil
	}
	return b.usedUpError(impatient, now)
}

// usedUpError returns the error of a quota that is used up; nil if the next window begins so soon that pulls wait for it.
func (b *budget) usedUpError(impatient bool, now time.Time) *PauseError {
	if !impatient && b.until.Sub(now) <= retry.MaxRetryAfter {
		return nil
	}
	err := &PauseError{Registry: b.registry.name, Class: Pull, Until: b.until, About: !b.exact, Quota: true}
	if b.remaining > 0 {
		err.Reserve = b.registry.reserve
	}
	return err
}

func (b *budget) take(reserved bool, now time.Time) {
	if b.inFlight++; reserved {
		b.held--
	}
	b.probed = now
}

func (b *budget) release(now time.Time) {
	b.inFlight--
	b.settled = max(0, b.settled-1)
	b.serve(now)
}

// next returns when more pulls may be sent even if no answer arrives; zero if never.
func (b *budget) next() time.Time {
	switch {
	case b.known:
		return b.until
	case !b.free && b.inFlight > 0:
		return b.probed.Add(probeEvery)
	}
	return time.Time{}
}

// nextTurn returns when an image in the plans no longer waits, even if no answer arrives; zero if never: the next
// window begins, or an earlier image has reserved nothing for too long.
func (b *budget) nextTurn(now time.Time) (at time.Time) {
	if b.waiting == 0 {
		return at
	}
	if b.known && b.until.After(now) {
		at = b.until
	}
	for _, p := range b.plans {
		if end := p.since.Add(maxTurnWait); p.wanted == 0 && !p.passed && (at.IsZero() || end.Before(at)) {
			at = end
		}
	}
	return at
}

// awaited reports whether something waits for the next window of the quota, which begins soon.
func (b *budget) awaited(now time.Time) bool {
	left := b.until.Sub(now)
	if !b.known || left <= 0 || left > retry.MaxRetryAfter {
		return false
	}
	return b.waiting > 0 && b.forWindow > 0 || b.left() <= 0 && b.inFlight+b.registry.waitingPulls(b.account) > 0
}

func (b *budget) report(a Answer, now time.Time) {
	b.expire(now)
	if a.Class == Pull && a.Quota != nil {
		b.settled = min(b.settled+1, b.inFlight)
	}
	switch {
	case a.usedUp():
		b.refused(Quota{Window: a.Quota.Window}, now.Add(-a.RoundTrip), a.RetryAfter, now)
	case a.Quota != nil && a.Quota.Remaining >= 0 && a.Quota.Window > 0:
		b.observe(*a.Quota, now.Add(-a.RoundTrip), now)
	case a.Class != Pull:
	case a.Err != nil && b.known:
		b.lost++
		b.lostAt = now
	case a.Status >= http.StatusOK && a.Status < http.StatusBadRequest && !b.known: // refusals may lack the header
		b.free = true
	}
	if allows := a.Class == Pull && a.Status == http.StatusOK || a.Quota != nil && a.Quota.Remaining > 0; allows {
		b.refusedSince = time.Time{}
	}
	b.serve(now)
}

func (b *budget) refused(q Quota, sent time.Time, retryAfter time.Duration, now time.Time) {
	if b.known && sent.Before(b.renewed) {
		return
	}
	if b.refusedSince.IsZero() || now.Sub(b.until) > retry.MaxRetryAfter { // the last refusal was for another time
		b.refusedSince = now
	}
	b.observe(q, sent, now)
	until := now.Add(retryAfter)
	endless := retryAfter <= retry.MaxRetryAfter && until.Sub(b.refusedSince) > retry.MaxRetryAfter
	if retryAfter > 0 && !endless && (!b.exact || until.After(b.until)) {
		b.until, b.exact = until, true
	}
}

// observe records a stated quota. Answers may arrive out of order.
func (b *budget) observe(q Quota, sent, now time.Time) {
	if sent.After(b.lostAt) {
		b.lost = 0
	}
	renewed := b.known && q.Remaining > b.remaining && sent.After(b.stated)
	switch {
	case !b.known, renewed:
		b.remaining, b.stated, b.short = min(q.Remaining, b.uncertain), now, false
		b.known, b.free, b.exact, b.uncertain = true, false, false, math.MaxInt
		window := q.Window
		if window <= 0 {
			window = defaultWindow
		}
		b.until, b.renewed = now.Add(window), sent
	case sent.Before(b.renewed):
	case q.Remaining <= b.remaining:
		b.remaining, b.stated = q.Remaining, now
	default:
		b.uncertain = min(b.uncertain, q.Remaining)
	}
}

// usedUp reports whether an answer refuses a pull because the quota is used up, even if the registry was taken for one
// without a quota until then. Other 429 answers ask for fewer requests of any kind.
func (a *Answer) usedUp() bool {
	return a.Status == http.StatusTooManyRequests && a.Quota != nil && a.Quota.Remaining <= 0
}

// Pulls are the pulls of one image from one account: reserved together, and in the order of the images.
// It may be used concurrently, except for Reserve.
type Pulls struct {
	budget *budget
	order  int64

	// Guarded by the limiter's lock.
	reserved int       // not taken yet
	begun    bool      // Reserve has succeeded once
	since    time.Time // when it was opened, or Reserve succeeded last
	passed   bool      // later images no longer wait for it
	closed   bool
	wanted   int // what Reserve waits for; 0 if it does not wait
	more     bool
	served   chan struct{} // closed when err is set
	err      error
}

// Pulls opens the pulls of an image. Of the images that are open, the one with the lowest order is served
// first: later ones wait until it is closed, unless enough pulls are left for all of them, or it has reserved nothing
// for 10 seconds. The caller closes it when the manifests of the image have been read.
func (l *Limiter) Pulls(p Peer, order int64) *Pulls {
	r := l.registry(p.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := r.budget(p.Account)
	q := &Pulls{budget: b, order: order, since: time.Now()}
	at, _ := slices.BinarySearchFunc(b.plans, order+1, func(open *Pulls, next int64) int { return cmp.Compare(open.order, next) })
	b.plans = slices.Insert(b.plans, at, q)
	return q
}

// Reserve makes sure that n pulls are reserved, or none; the first call waits for the turn of the image. more: the
// image will need more than n. It returns a [*PauseError] if fewer are left, and the next window of the quota does not
// begin within retry.MaxRetryAfter. Once too few are left for the rest of an image, no image that needs more than its n
// begins. If the account has no quota, and after Close, Reserve returns at once and reserves nothing.
func (p *Pulls) Reserve(ctx context.Context, n int, more bool) error {
	b := p.budget
	l := b.registry.limiter
	l.mu.Lock()
	if n -= p.reserved; p.closed || n <= 0 {
		l.mu.Unlock()
		return nil
	}
	p.wanted, p.more, p.passed, p.served = n, more, false, make(chan struct{})
	b.waiting++
	b.serve(time.Now())
	waits := p.wanted > 0
	l.mu.Unlock()
	if waits {
		l.announce(b.registry)
	}
	select {
	case <-p.served:
		return p.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.wanted > 0 {
		b.end(p, context.Cause(ctx))
		b.serve(time.Now())
	}
	return p.err
}

// Pass gives back what was reserved, and lets later images go first until the next call of Reserve: the manifests of this
// one are being read for another.
func (p *Pulls) Pass() {
	b := p.budget
	b.registry.limiter.mu.Lock()
	defer b.registry.limiter.mu.Unlock()
	p.passed = true
	b.held -= p.reserved
	p.reserved = 0
	b.serve(time.Now())
}

// Close releases the pulls that were reserved and not used, and lets later images continue. It may be called
// again, and on nil.
func (p *Pulls) Close() {
	if p == nil {
		return
	}
	b := p.budget
	b.registry.limiter.mu.Lock()
	defer b.registry.limiter.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	b.held -= p.reserved
	p.reserved = 0
	b.plans = slices.DeleteFunc(b.plans, func(other *Pulls) bool { return other == p })
	if p.wanted > 0 {
		b.end(p, nil)
	}
	now := time.Now()
	b.serve(now)
	b.registry.wake(now)
}

func (b *budget) end(p *Pulls, err error) {
	p.wanted, p.err = 0, err
	b.waiting--
	close(p.served)
}

func (b *budget) grant(p *Pulls, n int, now time.Time) {
	b.held += n
	p.reserved += n
	p.begun, p.passed, p.since = true, false, now
	b.end(p, nil)
}

func (b *budget) serve(now time.Time) {
	defer b.registry.noteBound(now)
	if b.waiting == 0 {
		return
	}
	b.expire(now)
	b.forWindow = 0
	earlier, same := 0, 0 // images that may still need pulls, and same of the order of the last one
	for i, p := range b.plans {
		if i > 0 && b.plans[i-1].order != p.order {
			earlier, same = earlier+same, 0
		}
		if p.wanted > 0 {
			b.try(p, earlier, now)
		}
		if p.passed = p.passed || p.wanted == 0 && now.Sub(p.since) >= maxTurnWait; !p.passed {
			same = 1
		}
	}
	b.registry.arm(now)
}

// try serves an image, or refuses it, if it need not wait for earlier ones. One that has begun does not wait for them:
// they may wait for what it has reserved.
func (b *budget) try(p *Pulls, earlier int, now time.Time) {
	free := b.available()
	tooFew := b.left() < p.wanted || p.more && b.short
	if p.begun { // pulls in flight may be counted already
		tooFew = b.left()-b.held < p.wanted
	}
	switch {
	case b.free, p.begun && !b.known:
		b.grant(p, 0, now)
	case !p.begun && earlier > 0 && (!b.known || free < p.wanted+earlier*assumedPulls):
		// It waits for its turn.
	case !b.known:
		b.grant(p, 0, now) // its first pull shows the quota
	case tooFew:
		b.short = b.short || p.begun
		if pause := b.usedUpError(false, now); pause != nil {
			b.end(p, pause)
		} else {
			b.forWindow++
		}
	case free >= p.wanted:
		b.grant(p, p.wanted, now)
	}
}

// AcquirePull is [Limiter.Acquire] for a pull of an image, which takes one of those that are reserved. pulls
// may be nil.
func (l *Limiter) AcquirePull(ctx context.Context, p Peer, pulls *Pulls) (release func(), err error) {
	return l.acquire(ctx, &request{peer: p, class: Pull, pulls: pulls})
}

// QuotaUsedUp records that a registry has refused a pull, sent at a time, because the quota of the account is used up,
// where the limiter could not see that from the answer's header. retryAfter is the delay that the registry asked for;
// zero if none.
func (l *Limiter) QuotaUsedUp(p Peer, sent time.Time, retryAfter time.Duration) {
	r := l.registry(p.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b := r.budget(p.Account)
	b.expire(now)
	b.refused(Quota{}, sent, retryAfter, now)
	b.serve(now)
	r.wake(now)
}

// QuotaError returns the error of an account whose quota is used up; nil if it is not, or will be full again within
// retry.MaxRetryAfter.
func (l *Limiter) QuotaError(p Peer) *PauseError {
	r := l.registry(p.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.budget(p.Account).refusal(false, time.Now())
}

// NoQuota records that a registry counts no pulls, as its answers to other requests for manifests show.
func (l *Limiter) NoQuota(registry string) {
	r := l.registry(registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	r.countsNone = true
	now := time.Now()
	for _, b := range r.budgets {
		b.free = !b.known
		b.serve(now)
	}
	r.wake(now)
}
