package retry

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// MaxRetryAfter is the longest wait that a server may ask for. An error that asks for more is
// not [Retryable]: it says itself when to come back, which may be hours away.
const MaxRetryAfter = 2 * time.Minute

const (
	defaultAttempts = 5
	defaultBase     = 500 * time.Millisecond
	defaultMax      = 30 * time.Second
)

// Policy is how often, and at what distance, something is tried. The zero value works.
type Policy struct {
	// Attempts is how often it is tried in all; 5 if zero.
	Attempts int
	// Base and Max bound the wait after attempt n: it is random between zero and
	// Base·2ⁿ⁻¹, at most Max ("full jitter", so that many who failed at once do not come
	// back at once). 500 ms and 30 s if zero.
	Base, Max time.Duration
	// Notify is told of each failed attempt that another follows, before the wait; nil
	// tells nobody. Attempts count from 1.
	Notify func(attempt int, wait time.Duration, err error)
}

// Do calls op until it succeeds, fails for good or has been tried often enough, and returns
// its last error. A wait is no shorter than what the error says by a method
// RetryAfter() time.Duration. It ends with ctx; the error is then both the last one of op
// and the cause of ctx.
func (p Policy) Do(ctx context.Context, op func(ctx context.Context) error) error {
	attempts := cmp.Or(p.Attempts, defaultAttempts)
	for attempt := 1; ; attempt++ {
		err := op(ctx)
		if err == nil || ctx.Err() != nil || attempt >= attempts || !Retryable(err) {
			return err
		}
		wait := p.pause(attempt, err)
		if p.Notify != nil {
			p.Notify(attempt, wait, err)
		}
		if ended := Sleep(ctx, wait); ended != nil {
			return fmt.Errorf("%w (not tried again: %w)", err, ended)
		}
	}
}

// pause is the wait between the given attempt, which failed with err, and the next one.
func (p Policy) pause(attempt int, err error) time.Duration {
	ceiling := cmp.Or(p.Max, defaultMax)
	// The shift is bounded: 2²⁰ times any base is over any ceiling, and is no overflow.
	if grown := cmp.Or(p.Base, defaultBase) << min(attempt-1, 20); grown < ceiling {
		ceiling = grown
	}
	return max(After(err), rand.N(ceiling+1))
}

// Sleep pauses for d. It returns ctx's cause where that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
