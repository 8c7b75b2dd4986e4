// Package retry decides which errors are retried, and when. It is the only place in regsync that decides this.
//
// Start at [Policy.Do], or at [Policy.NewBudget] if the wait between two attempts is not a sleep. There are two budgets. This
// package has the budget of one item (a manifest, a listing, a blob): a number of attempts, and a time after the first
// failure. Package limit has the budget of a registry that is down, which everything that needs the registry waits for; see
// [Policy.Uncounted].
//
// [Retryable] judges an error by its cause, never by its text: by a status (a method HTTPStatus() int), network errors,
// content that ended early, and errors that rule out another attempt (a method Lasting() bool). Unknown errors are not
// retried.
package retry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// MaxRetryAfter is the longest wait that a server may ask for. An error that asks for more is not [Retryable].
const MaxRetryAfter = 2 * time.Minute

const (
	defaultAttempts = 8
	defaultSpan     = 45 * time.Second
	defaultBase     = 500 * time.Millisecond
	defaultMax      = 30 * time.Second
)

// Policy is how often, how long and at what intervals one item is tried. The zero value works.
type Policy struct {
	// Attempts is how often the item is tried in all; 8 if zero.
	Attempts int
	// Span bounds the total time of attempts and backoffs after the first failure; 45 s if
	// zero. The attempt that exceeds it is not interrupted.
	Span time.Duration
	// Base and Max bound the backoff after attempt n: it is random between zero and Base·2ⁿ⁻¹, at most Max ("full jitter":
	// items that failed together are not retried together). 500 ms and 30 s if zero.
	Base, Max time.Duration
	// Uncounted reports failures that use neither an attempt nor time, because the registry is down and the limiter makes
	// the next attempt wait. It may be nil.
	Uncounted func(err error) bool
}

// Do calls op until it succeeds, fails permanently or has used up its budget, and returns its last error. op calls begin when
// it has its slots; the time before does not count. If ctx ends the wait after a failed attempt, or the next attempt,
// the error is a [*NotRetriedError].
func (p Policy) Do(ctx context.Context, op func(ctx context.Context, begin func()) error) error {
	budget := p.NewBudget()
	var last error
	for {
		began := time.Now()
		err := op(ctx, func() { began = time.Now() })
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && last != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))):
			return &NotRetriedError{last, context.Cause(ctx)}
		case ctx.Err() != nil:
			return err
		}
		wait, again := budget.Failed(err, time.Since(began))
		if !again {
			return err
		}
		if ended := Sleep(ctx, wait); ended != nil {
			return &NotRetriedError{err, ended}
		}
		last = err
	}
}

// NotRetriedError is the error of an item that was to be tried again when the work of which it is a part ended.
type NotRetriedError struct {
	// Err is that of the last attempt that failed, and Ended why there was no other: the cause of a context, or of a drain.
	Err, Ended error
}

func (e *NotRetriedError) Error() string { return fmt.Sprintf("%v (not retried: %v)", e.Err, e.Ended) }

// Unwrap returns Err and Ended.
func (e *NotRetriedError) Unwrap() []error { return []error{e.Err, e.Ended} }

// Budget is the remaining budget of one item, for callers that do not sleep between attempts.
// One goroutine at a time may use it.
type Budget struct {
	policy Policy
	failed int
	spent  time.Duration
	// furthest is how far an attempt got, in bytes.
	furthest int64
}

// NewBudget creates a full budget.
func (p Policy) NewBudget() *Budget { return &Budget{policy: p} }

// Failed records a failed attempt and its duration. again reports whether another attempt may
// follow, after wait. wait is at least what the error asks for by a method
// RetryAfter() time.Duration; a wait that a server asks for uses no budget.
func (b *Budget) Failed(err error, took time.Duration) (wait time.Duration, again bool) {
	if !Retryable(err) {
		return 0, false
	}
	if b.policy.Uncounted != nil && b.policy.Uncounted(err) {
		return max(b.policy.NewBudget().backoff(), After(err)), true
	}
	backoff := b.backoff()
	if b.failed++; b.failed > 1 {
		b.spent += took
	}
	left := cmp.Or(b.policy.Span, defaultSpan) - b.spent
	if left <= 0 || b.failed >= cmp.Or(b.policy.Attempts, defaultAttempts) {
		return 0, false
	}
	if asked := After(err); asked > 0 {
		return max(asked, backoff), true
	}
	backoff = min(backoff, left)
	b.spent += backoff
	return backoff, true
}

func (b *Budget) backoff() time.Duration {
	ceiling := cmp.Or(b.policy.Max, defaultMax)
	// The shift is bounded: 2²⁰ times any base is above any ceiling, and does not overflow.
	if grown := cmp.Or(b.policy.Base, defaultBase) << min(b.failed, 20); grown < ceiling {
		ceiling = grown
	}
	return rand.N(ceiling + 1)
}

// Progressed restores the full budget if an attempt got further than all before. to is how far, in bytes.
func (b *Budget) Progressed(to int64) {
	if to > b.furthest {
		b.failed, b.spent, b.furthest = 0, 0, to
	}
}

// Attempts is the number of counted failures since the last progress.
func (b *Budget) Attempts() int { return b.failed }

// Sleep waits for d. It returns ctx's cause if ctx ends first.
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
