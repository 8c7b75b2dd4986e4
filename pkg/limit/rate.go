package limit

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/regsync/regsync/pkg/retry"
)

// Rates bound what a registry is asked for in a time. The zero value does not.
type Rates struct {
	// RequestsPerSecond bounds the requests; zero is without a bound.
	RequestsPerSecond int
	// Bandwidth bounds the bytes of bodies, in both directions together.
	Bandwidth Timetable
}

// Timetable is a bandwidth that depends on the time of day.
type Timetable struct {
	// Periods are looked at in this order: the first that has begun and has not ended counts.
	Periods []Period
	// Otherwise is the bandwidth at other times, in bytes a second; zero is without a bound.
	Otherwise int64
}

// Period is a part of each day, in local time.
type Period struct {
	// From and To are times since midnight. A period that ends before it begins goes over midnight.
	From, To time.Duration
	// BytesPerSecond is the bandwidth; zero is without a bound.
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

// pace keeps to the rates of a registry. It may be used concurrently.
type pace struct {
	rates    Rates
	requests *rate.Limiter // nil: there is no bound
	bytes    *rate.Limiter // nil: there is no bound at any time
}

// byteBurst is how many bytes may pass at once: a part of a second, so that what passes in a minute is right.
const byteBurst = 64 << 10

func newPace(r Rates) *pace {
	p := &pace{rates: r}
	if r.RequestsPerSecond > 0 {
		p.requests = rate.NewLimiter(rate.Limit(r.RequestsPerSecond), 1)
	}
	if len(r.Bandwidth.Periods) > 0 || r.Bandwidth.Otherwise > 0 {
		p.bytes = rate.NewLimiter(rate.Inf, byteBurst)
	}
	return p
}

// waitBytes waits until n bytes may have passed, and returns how long.
func (p *pace) waitBytes(ctx context.Context, n int) (waited time.Duration, err error) {
	for n > 0 && p.bytes != nil {
		now, wanted := time.Now(), rate.Inf
		if bound := p.rates.Bandwidth.At(now); bound > 0 {
			wanted = rate.Limit(bound)
		}
		if p.bytes.Limit() != wanted {
			p.bytes.SetLimitAt(now, wanted)
		}
		part := min(n, byteBurst)
		delay, err := wait(ctx, p.bytes, part)
		waited += delay
		if err != nil {
			return waited, err
		}
		n -= part
	}
	return waited, nil
}

// wait waits for n tokens, and returns how long. Unlike rate.Limiter.Wait, it waits as long as ctx lasts.
func wait(ctx context.Context, l *rate.Limiter, n int) (time.Duration, error) {
	reserved := l.ReserveN(time.Now(), n)
	delay := reserved.Delay()
	if delay <= 0 {
		return 0, nil
	}
	err := retry.Sleep(ctx, delay)
	if err != nil {
		reserved.Cancel()
	}
	return delay, err
}

// WaitRequest waits until a request may be sent to a registry. The error is ctx's cause.
func (l *Limiter) WaitRequest(ctx context.Context, registry string) error {
	p := l.pace(registry)
	if p.requests == nil {
		return nil
	}
	waited, err := wait(ctx, p.requests, 1)
	l.noteWait(registry, ByRequests, waited)
	return err
}

// WaitBytes waits until n bytes may have passed to or from a registry. The error is ctx's cause.
func (l *Limiter) WaitBytes(ctx context.Context, registry string, n int) error {
	waited, err := l.pace(registry).waitBytes(ctx, n)
	l.noteWait(registry, ByBandwidth, waited)
	return err
}

func (l *Limiter) pace(registry string) *pace { return l.registry(registry).pace.Load() }

// Reload asks [Options.Rates] and [Options.MaxConnections] again. What waits already waits by the old rates.
func (l *Limiter) Reload() {
	l.mu.Lock()
	var all []*registry
	for _, r := range l.registries {
		all = append(all, r)
	}
	l.mu.Unlock()
	for _, r := range all {
		rates, most := l.settings(r.name)
		r.pace.Store(newPace(rates))
		l.mu.Lock()
		if r.window.limitTo(most, time.Now()) {
			r.limit = divide(r.window.size)
		}
		r.wake(time.Now())
		l.mu.Unlock()
	}
}

// settings are those of a registry. l.mu is not held.
func (l *Limiter) settings(registry string) (rates Rates, connections int) {
	if l.options.Rates != nil {
		rates = l.options.Rates(registry)
	}
	if l.options.MaxConnections != nil {
		connections = l.options.MaxConnections(registry)
	}
	return rates, connections
}
