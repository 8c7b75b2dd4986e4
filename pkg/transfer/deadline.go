package transfer

import (
	"context"
	"strings"
	"sync"
	"time"
)

// TimeoutError ends the jobs of an entry that has had its [Job].Timeout. It is an
// [ErrDeferred].
type TimeoutError struct {
	Entry   string
	Timeout time.Duration
}

func (e *TimeoutError) Error() string {
	// 30m, where Duration says 30m0s.
	timeout := e.Timeout.String()
	if short, whole := strings.CutSuffix(timeout, "m0s"); whole {
		timeout = short + "m"
	}
	if short, whole := strings.CutSuffix(timeout, "h0m"); whole {
		timeout = short + "h"
	}
	if e.Entry == "" {
		return "the copy has had its timeout of " + timeout
	}
	return "the entry " + e.Entry + " has had its timeout of " + timeout
}

// Is makes it an ErrDeferred.
func (e *TimeoutError) Is(target error) bool { return target == ErrDeferred }

// deadlines gives the jobs of an entry their time together. Its timers run by the monotonic
// clock: setting the wall clock changes none.
type deadlines struct {
	mu      sync.Mutex
	entries map[string]context.Context
	ends    []func()
}

// of is the context of a job. The first of an entry starts its time and sets its length.
func (d *deadlines) of(ctx context.Context, job Job) context.Context {
	if job.Timeout <= 0 {
		return ctx
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if of, started := d.entries[job.Entry]; started {
		return of
	}
	of, end := timed(ctx, job)
	if d.entries == nil {
		d.entries = map[string]context.Context{}
	}
	d.entries[job.Entry] = of
	d.ends = append(d.ends, end)
	return of
}

// timed is a context that ends with the time of the job's entry.
func timed(ctx context.Context, job Job) (of context.Context, end func()) {
	of, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(job.Timeout, func() { cancel(&TimeoutError{job.Entry, job.Timeout}) })
	return of, func() {
		timer.Stop()
		cancel(nil)
	}
}

// end frees the timers and contexts, when no job uses them any more.
func (d *deadlines) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, end := range d.ends {
		end()
	}
}
