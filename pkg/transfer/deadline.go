package transfer

import (
	"context"
	"strings"
	"sync"
	"time"
)

// TimeoutError ends the jobs of an entry whose [Job].Timeout is over. It is an
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

// deadlines records when the first job of each entry began. The zero value is ready.
type deadlines struct {
	mu     sync.Mutex
	starts map[string]time.Time // by entry
}

// of returns a context that ends with ctx, or when the time of the job's entry is up. The caller must
// call stop. All times are monotonic: setting the wall clock has no effect.
func (d *deadlines) of(ctx context.Context, job Job) (of context.Context, stop func()) {
	if job.Timeout <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(&TimeoutError{job.Entry, job.Timeout}) }
	left := job.Timeout - time.Since(d.start(job.Entry))
	if left <= 0 {
		end()
	}
	timer := time.AfterFunc(left, end)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// start returns when the first job of an entry began.
func (d *deadlines) start(entry string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	start, begun := d.starts[entry]
	if !begun {
		if d.starts == nil {
			d.starts = map[string]time.Time{}
		}
		start = time.Now()
		d.starts[entry] = start
	}
	return start
}
