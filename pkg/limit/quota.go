package limit

import (
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/retry"
)

const (
	// DefaultWindow is the window of a pull quota whose answers do not state it: Docker Hub's ("Usage
	// and limits").
	DefaultWindow = 6 * time.Hour
	// probeEvery is how often a pull is sent while nothing is known of the quota of an account.
	probeEvery = time.Second
	// assumedPulls is what an image is taken to need until its manifests are read: an official image
	// of Docker Hub has up to 16 children, and signatures.
	assumedPulls = 32
	// turnPatience is how long images wait for an earlier one that does not say what it needs.
	turnPatience = 10 * time.Second
)

// Quota is what an answer states of the pulls of an account.
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
	// If neither holds, one pull at a time finds out.
	known, free bool
	remaining   int // as stated last
	window      time.Duration
	// until is when the quota is full again. It is an estimate, from the first answer that stated the
	// window, unless exact.
	until time.Time
	exact bool
	// stated is when the last answer arrived that stated no more than remaining. One that states more
	// is newer only if its request was sent later; else it is uncertain, and the least such number is kept.
	stated    time.Time
	uncertain int
	renewed   time.Time // when the window was seen to begin: answers to earlier requests are of the one before
	// lost are pulls without an answer since lostAt, which the registry may have counted.
	lost   int
	lostAt time.Time

	inFlight int // pulls that hold a slot
	settled  int // those of them whose answers have stated what is left
	held     int // pulls that are reserved
	probed   time.Time

	plans     []*Pulls // open ones, by order
	waiting   int      // plans that wait in Begin
	head      *Pulls   // the first that has not decided, since headSince
	headSince time.Time
	short     bool // an image that had begun found too few pulls
	timer     *time.Timer
}

// expire forgets a quota whose window has ended: the next pull shows what the new window has.
func (b *budget) expire(now time.Time) {
	if b.known && !now.Before(b.until) {
		b.known, b.free, b.short, b.lost, b.uncertain = false, false, false, 0, math.MaxInt
	}
}

// left is how many pulls may still be taken, those that are reserved or in flight included.
func (b *budget) left() int { return b.remaining - b.lost - b.registry.reserve }

// available is left without those.
func (b *budget) available() int { return b.left() - (b.inFlight - b.settled) - b.held }

// admits reports whether a pull may be sent now.
func (b *budget) admits(reserved bool, now time.Time) bool {
	switch b.expire(now); {
	case b.free || reserved:
		return true
	case !b.known:
		return b.inFlight == 0 || now.Sub(b.probed) >= probeEvery
	}
	return b.available() > 0
}

// refusal is why a pull must not wait; nil if it may.
func (b *budget) refusal(impatient bool, now time.Time) *PauseError {
	if b.expire(now); !b.known || b.left()-b.held > 0 {
		return nil
	}
	return b.usedUpError(impatient, now)
}

// usedUpError is the error of a quota that is used up; nil if the next window begins so soon that it is waited for.
func (b *budget) usedUpError(impatient bool, now time.Time) *PauseError {
	if !impatient && b.until.Sub(now) <= retry.MaxRetryAfter {
		return nil
	}
	return &PauseError{
		Registry: b.registry.name, Class: Pull, Until: b.until, About: !b.exact, Quota: true, Reserve: b.kept(),
	}
}

// kept is how many of the remaining pulls are left for other clients.
func (b *budget) kept() int {
	if b.remaining <= 0 {
		return 0
	}
	return b.registry.reserve
}

// take records that a pull has its slot.
func (b *budget) take(reserved bool, now time.Time) {
	if b.inFlight++; reserved {
		b.held--
	}
	b.probed = now
}

// release records that a pull has released its slot.
func (b *budget) release(now time.Time) {
	b.inFlight--
	b.settled = max(0, b.settled-1)
	b.serve(now)
}

// next is when more pulls may be sent although no answer comes; zero if never.
func (b *budget) next() time.Time {
	switch {
	case b.known:
		return b.until
	case !b.free && b.inFlight > 0:
		return b.probed.Add(probeEvery)
	}
	return time.Time{}
}

// report learns from an answer.
func (b *budget) report(a Answer, now time.Time) {
	b.expire(now)
	if a.Class == Pull && a.Quota != nil {
		b.settled = min(b.settled+1, b.inFlight)
	}
	switch {
	case a.usedUp():
		b.observe(Quota{Remaining: 0, Window: a.Quota.Window}, now.Add(-a.RoundTrip), now)
		if a.RetryAfter > 0 {
			b.until, b.exact = now.Add(a.RetryAfter), true
		}
	case a.Quota != nil && a.Quota.Remaining >= 0 && a.Quota.Window > 0:
		b.observe(*a.Quota, now.Add(-a.RoundTrip), now)
	case a.Class != Pull:
	case a.Err != nil && b.known:
		b.lost++
		b.lostAt = now
	case a.Err == nil && !b.known && saysNoQuota(a.Status):
		b.free = true
	}
	b.serve(now)
}

// observe takes note of a stated quota. Answers may arrive in another order than the registry gave them.
func (b *budget) observe(q Quota, sent, now time.Time) {
	if sent.After(b.lostAt) {
		b.lost = 0
	}
	renewed := b.known && q.Remaining > b.remaining && sent.After(b.stated)
	switch {
	case !b.known, renewed:
		b.remaining, b.stated, b.short = min(q.Remaining, b.uncertain), now, false
		if !b.known {
			b.remaining = q.Remaining
		}
		b.known, b.free, b.exact, b.uncertain = true, false, false, math.MaxInt
		b.window = q.Window
		if b.window <= 0 {
			b.window = DefaultWindow
		}
		b.until, b.renewed = now.Add(b.window), sent
	case sent.Before(b.renewed):
	case q.Remaining <= b.remaining:
		b.remaining, b.stated = q.Remaining, now
	default:
		b.uncertain = min(b.uncertain, q.Remaining)
	}
}

// saysNoQuota reports whether an answer of that status to a pull would state the quota, if there were one. A 401 may
// only ask for a token.
func saysNoQuota(status int) bool {
	return status < http.StatusInternalServerError && status != http.StatusTooManyRequests && status != http.StatusUnauthorized
}

// usedUp reports whether an answer refuses a pull because the quota is used up. Other answers 429 ask
// for fewer requests of any kind.
func (a *Answer) usedUp() bool {
	return a.Status == http.StatusTooManyRequests && a.Class == Pull && a.Quota != nil && a.Quota.Remaining <= 0
}

// Pulls are the pulls of one image from one account: reserved together, and in the order of the images.
// It may be used concurrently.
type Pulls struct {
	budget *budget
	order  int64

	// Guarded by the limiter's lock.
	reserved int // not taken yet
	decided  bool
	passed   bool // later images no longer wait for it
	wanted   int  // what Begin waits for; 0 if it does not wait
	atLeast  bool
	begun    chan struct{}
	err      error
}

// Pulls opens the pulls of an image. Of the images that are open, the one with the lowest order is served
// first: later ones wait until it is closed, for 10 seconds, unless enough pulls are left for all of them.
// The caller closes it when the manifests of the image are read.
func (l *Limiter) Pulls(p Peer, order int64) *Pulls {
	r := l.registry(p.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := r.budget(p.Account)
	q := &Pulls{budget: b, order: order}
	at, _ := slices.BinarySearchFunc(b.plans, q, func(a, b *Pulls) int {
		if a.order < b.order {
			return -1
		}
		return 1
	})
	b.plans = slices.Insert(b.plans, at, q)
	return q
}

// Begin waits for the turn of the image and reserves n pulls. It returns a [*PauseError] if fewer are left.
// atLeast: the image will need more than n. After an image has found too few for the rest, no such image
// begins. If the account has no quota, and after Close, Begin returns at once and reserves nothing.
func (p *Pulls) Begin(ctx context.Context, n int, atLeast bool) error {
	l := p.budget.registry.limiter
	l.mu.Lock()
	if p.decided {
		l.mu.Unlock()
		return nil
	}
	if p.begun == nil {
		p.begun, p.wanted, p.atLeast = make(chan struct{}), n, atLeast
		p.budget.waiting++
		p.budget.serve(time.Now())
	}
	l.mu.Unlock()
	select {
	case <-p.begun:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reserve makes sure that n pulls are reserved, for manifests that turned out to be needed. It
// reserves all or none, and returns a [*PauseError] if they are not left.
func (p *Pulls) Reserve(n int) error {
	b := p.budget
	b.registry.limiter.mu.Lock()
	defer b.registry.limiter.mu.Unlock()
	now := time.Now()
	b.expire(now)
	n -= p.reserved
	if !b.known || n <= 0 || p.decided {
		return nil
	}
	if b.available() < n {
		b.short = true
		b.serve(now)
		return b.usedUpError(true, now)
	}
	b.held += n
	p.reserved += n
	return nil
}

// Close releases what was reserved and not used, and lets later images go on. It may be called again,
// and on nil.
func (p *Pulls) Close() {
	if p == nil {
		return
	}
	b := p.budget
	b.registry.limiter.mu.Lock()
	defer b.registry.limiter.mu.Unlock()
	if p.decided {
		return
	}
	p.decided = true
	b.held -= p.reserved
	p.reserved = 0
	b.plans = slices.DeleteFunc(b.plans, func(other *Pulls) bool { return other == p })
	if p.wanted > 0 {
		b.begin(p, nil)
	}
	now := time.Now()
	b.serve(now)
	b.registry.wake(now)
}

// begin ends the wait of an image.
func (b *budget) begin(p *Pulls, err error) {
	p.wanted, p.err = 0, err
	if p == b.head {
		b.headSince = time.Now()
	}
	b.waiting--
	close(p.begun)
}

// serve lets the images begin whose turn has come.
func (b *budget) serve(now time.Time) {
	if b.waiting == 0 {
		return
	}
	b.expire(now)
	earlier := 0 // images that may still need pulls
	for _, p := range b.plans {
		if p.wanted > 0 {
			b.tryBegin(p, earlier, now)
		}
		if !p.passed {
			earlier++
		}
	}
	b.arm(now)
}

// tryBegin lets an image begin, or refuses it, if it need not wait for earlier ones.
func (b *budget) tryBegin(p *Pulls, earlier int, now time.Time) {
	free := b.available()
	switch {
	case b.free:
		b.begin(p, nil)
	case earlier > 0 && (!b.known || free < p.wanted+earlier*assumedPulls):
		// It waits for its turn.
	case !b.known:
		b.begin(p, nil) // its first pull finds out
	case p.atLeast && b.short, b.left() < p.wanted:
		if pause := b.usedUpError(false, now); pause != nil {
			b.begin(p, pause)
		}
	case free >= p.wanted:
		b.held += p.wanted
		p.reserved += p.wanted
		b.begin(p, nil)
	}
}

// arm sets the timer for what changes without an event: images lose patience with the first one, or the
// window ends.
func (b *budget) arm(now time.Time) {
	i := slices.IndexFunc(b.plans, func(p *Pulls) bool { return !p.passed })
	if i < 0 || b.waiting == 0 {
		b.head = nil
		return
	}
	if head := b.plans[i]; head != b.head {
		b.head, b.headSince = head, now
	}
	var at time.Time
	if b.head.wanted == 0 {
		at = b.headSince.Add(turnPatience)
	}
	if end := b.until; b.known && end.After(now) && (at.IsZero() || end.Before(at)) {
		at = end
	}
	if b.timer != nil {
		b.timer.Stop()
	}
	if at.IsZero() {
		return
	}
	b.timer = time.AfterFunc(at.Sub(now), func() {
		b.registry.limiter.mu.Lock()
		defer b.registry.limiter.mu.Unlock()
		now := time.Now()
		if b.head != nil && b.head.wanted == 0 && now.Sub(b.headSince) >= turnPatience {
			b.head.passed, b.head = true, nil
		}
		b.serve(now)
	})
}

// AcquirePull is [Limiter.Acquire] for a pull of an image, which takes one of those that are reserved. pulls
// may be nil.
func (l *Limiter) AcquirePull(ctx context.Context, p Peer, pulls *Pulls) (release func(), err error) {
	return l.acquire(ctx, &request{peer: p, class: Pull, pulls: pulls})
}

// QuotaUsedUp records that a registry has refused a pull because the quota of the account is used up, where the limiter
// could not see that from the answer's header. retryAfter is the delay that the registry asked for; zero if none.
func (l *Limiter) QuotaUsedUp(p Peer, retryAfter time.Duration) {
	r := l.registry(p.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b := r.budget(p.Account)
	b.expire(now)
	b.observe(Quota{}, now, now)
	if retryAfter > 0 {
		b.until, b.exact = now.Add(retryAfter), true
	}
	b.serve(now)
	r.wake(now)
}

// QuotaError is the error of an account whose quota is used up; nil if it is not, or will be full again within
// retry.MaxRetryAfter.
func (l *Limiter) QuotaError(p Peer) *PauseError {
	r := l.registry(p.Registry)
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.budget(p.Account).refusal(false, time.Now())
}
