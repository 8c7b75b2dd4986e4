package limit

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/regsync/regsync/pkg/retry"
)

// Rates bounds the requests to a registry, and the bytes, in a second. The zero value has no bounds.
type Rates struct {
	// RequestsPerSecond bounds the requests; zero means no bound.
	RequestsPerSecond int
	// Bandwidth bounds the bytes of bodies, in both directions together.
	Bandwidth Timetable
}

// Timetable is a bandwidth that depends on the time of day.
type Timetable struct {
	// Periods are tried in order: the first one that contains the time applies.
	Periods []Period
	// Otherwise is the bandwidth at other times, in bytes a second; zero means no bound.
	Otherwise int64
}

// Period is a part of each day, in local time.
type Period struct {
	// From and To are times since midnight. A period that ends before it begins spans midnight.
	From, To time.Duration
	// BytesPerSecond is the bandwidth; zero means no bound.
	BytesPerSecond int64
}

// At returns the bandwidth at a time.
func (t Timetable) At(now time.Time) (bytesPerSecond int64) {
	hour, minute, second := now.Clock()
	clock := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	for _, p := range t.Periods {
		if p.From <= clock && clock < p.To || p.To <= p.From && (clock >= p.From || clock < p.To) {
			return p.BytesPerSecond
		}
	}
	return t.Otherwise
}

// Bounded reports whether there is a bound at any time.
func (t Timetable) Bounded() bool { return len(t.Periods) > 0 || t.Otherwise > 0 }

// pace enforces the rates of its registry. It may be used concurrently.
type pace struct {
	registry *registry
	rates    Rates
	requests *rate.Limiter // nil: there is no bound
	bytes    *rate.Limiter // nil: there is no bound at any time
}

// byteBurst is how many bytes may pass at once: few, so that the bytes of a minute match the rate.
const byteBurst = 64 << 10

func newPace(of *registry, r Rates) *pace {
	p := &pace{registry: of, rates: r}
	if r.RequestsPerSecond > 0 {
		p.requests = rate.NewLimiter(rate.Limit(r.RequestsPerSecond), 1)
	}
	if r.Bandwidth.Bounded() {
		p.bytes = rate.NewLimiter(rate.Inf, byteBurst)
	}
	return p
}

// allowsRequest reports whether a request may be sent now. The limiter's lock is held, here and below.
func (p *pace) allowsRequest(now time.Time) bool {
	return p.requests == nil || p.requests.TokensAt(now) >= 1
}

func (p *pace) takeRequest(now time.Time) {
	if p.requests != nil {
		p.requests.AllowN(now, 1)
	}
}

// nextRequest returns when the next request may be sent; the zero time if now.
func (p *pace) nextRequest(now time.Time) time.Time {
	if p.allowsRequest(now) {
		return time.Time{}
	}
	missing := 1 - p.requests.TokensAt(now)
	return now.Add(time.Duration(missing/float64(p.requests.Limit())*float64(time.Second)) + time.Microsecond)
}

func (p *pace) waitBytes(ctx context.Context, n int) error {
	for n > 0 && p.bytes != nil {
		now, wanted := time.Now(), rate.Inf
		if bound := p.rates.Bandwidth.At(now); bound > 0 {
			wanted = rate.Limit(bound)
		}
		if p.bytes.Limit() != wanted {
			p.bytes.SetLimitAt(now, wanted)
		}
		part := min(n, byteBurst)
		if err := p.wait(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// wait waits until n bytes may have passed. Unlike rate.Limiter.Wait, it waits as long as ctx lasts. The bytes count also
// if ctx ends first: those of an answer have passed already.
func (p *pace) wait(ctx context.Context, n int) error {
	delay := p.bytes.ReserveN(time.Now(), n).Delay()
	if delay <= 0 {
		return nil
	}
	note := func(n int) {
		p.registry.limiter.mu.Lock()
		defer p.registry.limiter.mu.Unlock()
		p.registry.addWait(ByBandwidth, n, time.Now())
	}
	note(1)
	defer note(-1)
	return retry.Sleep(ctx, delay)
}
