package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

type answer struct {
	code  int
	after time.Duration
	is    error
}

func (a answer) Error() string             { return fmt.Sprintf("answered %d", a.code) }
func (a answer) HTTPStatus() int           { return a.code }
func (a answer) RetryAfter() time.Duration { return a.after }
func (a answer) Is(target error) bool      { return target == a.is }

// cutBody is a body that broke after a good status.
type cutBody struct{ answer }

func (cutBody) Unwrap() error { return io.ErrUnexpectedEOF }

// givenUp is an error that rules out another attempt, whatever its cause.
type givenUp struct{ error }

func (givenUp) Lasting() bool   { return true }
func (g givenUp) Unwrap() error { return g.error }

func TestRetryable(t *testing.T) {
	blob := content.NewDescriptor("x", []byte("abc"))
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"none", nil, false},
		{"429", answer{code: 429}, true},
		{"503", answer{code: 503}, true},
		{"500", answer{code: 500}, true},
		{"501", answer{code: 501}, false},
		{"400", answer{code: 400}, false},
		{"404", answer{code: 404, is: content.ErrNotFound}, false},
		{"413", answer{code: 413}, false},
		{"413, and smaller requests come next", answer{code: 413, is: content.ErrTooLarge}, true},
		{"429 with a wait", answer{code: 429, after: MaxRetryAfter}, true},
		{"429 with a long wait", answer{code: 429, after: MaxRetryAfter + 1}, false},
		{"wrapped 503", fmt.Errorf("push: %w", answer{code: 503}), true},
		{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true},
		{"refused", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		{"early end", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{"time-out", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true},
		{"no such host", &net.DNSError{Name: "x", IsNotFound: true}, false},
		{"resolver down", &net.DNSError{Name: "x", IsTemporary: true}, true},
		{"cancelled", context.Canceled, false},
		{"dial time-out", &net.OpError{Op: "dial", Err: context.DeadlineExceeded}, true},
		{"unknown authority", x509.UnknownAuthorityError{}, false},
		{"disk full", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, false},
		{"body after a 200", cutBody{answer{code: 200}}, true},
		{"an unreadable answer", fmt.Errorf("%w: %w", content.ErrInvalid, io.ErrUnexpectedEOF), false},
		{"not found, and a cut connection", errors.Join(content.ErrNotFound, io.EOF), false},
		{"a lasting cause beside a passing one", errors.Join(answer{code: 503}, answer{code: 404}), false},
		{"the same the other way round", errors.Join(answer{code: 404}, answer{code: 503}), false},
		{"two passing causes", errors.Join(answer{code: 503}, io.ErrUnexpectedEOF), true},
		{"no TLS", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, false},
		{"refused by TLS", &net.OpError{Op: "remote error", Err: tls.AlertError(40)}, false},
		{"mismatch", content.ErrMismatch, false},
		{"a deadline of one attempt", fmt.Errorf("get: %w", context.DeadlineExceeded), true},
		{"denied", content.ErrDenied, false},
		{"cut off", &content.MismatchError{Want: blob, GotSize: 1}, true},
		{"too long", &content.MismatchError{Want: blob, GotSize: 4}, false},
		{"other bytes", &content.MismatchError{Want: blob, GotSize: 3, GotDigest: "sha256:0"}, false},
		{"a host that was given up", fmt.Errorf("head: %w", givenUp{syscall.ECONNREFUSED}), false},
		{"anything else", errors.New("odd"), false},
	} {
		if got := Retryable(test.err); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// simple is an operation that waits for no slots.
func simple(op func() error) func(context.Context, func()) error {
	return func(context.Context, func()) error { return op() }
}

func TestDoTriesUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		err := Policy{}.Do(t.Context(), simple(func() error {
			if attempts++; attempts < 4 {
				return answer{code: 503}
			}
			return nil
		}))
		if err != nil || attempts != 4 {
			t.Errorf("%v after %d attempts", err, attempts)
		}
	})
}

func TestDoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			policy Policy
			err    error
			want   int
		}{
			{Policy{Attempts: 3}, answer{code: 503}, 3},
			{Policy{}, answer{code: 503}, 8},
			{Policy{}, answer{code: 403}, 1},
		} {
			attempts := 0
			err := test.policy.Do(t.Context(), simple(func() error {
				attempts++
				return test.err
			}))
			if !errors.Is(err, test.err) || attempts != test.want {
				t.Errorf("%v after %d attempts, want %d", err, attempts, test.want)
			}
		}
	})
}

// A host that drops packets costs a full time-out each time: eight of them would be ten
// minutes.
func TestSpanBoundsWhatFollowsTheFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			takes time.Duration
			want  int // attempts
			most  time.Duration
		}{
			{time.Minute, 2, 2*time.Minute + 500*time.Millisecond},
			{20 * time.Second, 4, 80*time.Second + 10*time.Second},
			{time.Millisecond, 8, 46 * time.Second},
		} {
			attempts, start := 0, time.Now()
			_ = Policy{}.Do(t.Context(), simple(func() error {
				attempts++
				time.Sleep(test.takes)
				return answer{code: 503}
			}))
			if took := time.Since(start); attempts > test.want || attempts < 2 || took > test.most {
				t.Errorf("attempts of %v: %d in %v, want at most %d in %v", test.takes, attempts, took, test.want, test.most)
			}
		}
	})
}

func TestWaitingForSlotsDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		_ = Policy{}.Do(t.Context(), func(_ context.Context, begin func()) error {
			attempts++
			time.Sleep(time.Hour)
			begin()
			return answer{code: 503}
		})
		if attempts != 8 {
			t.Errorf("%d attempts, want 8", attempts)
		}
	})
}

func TestWaitThatAServerAsksForDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, attempts := time.Now(), 0
		_ = Policy{Attempts: 4}.Do(t.Context(), simple(func() error {
			attempts++
			return answer{code: 429, after: time.Minute}
		}))
		if took := time.Since(start); took != 3*time.Minute || attempts != 4 {
			t.Errorf("%d attempts in %v, want 4 in 3m", attempts, took)
		}
	})
}

func TestUncountedFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, attempts := true, 0
		policy := Policy{
			Attempts:  3,
			Uncounted: func(error) bool { return down },
		}
		err := policy.Do(t.Context(), simple(func() error {
			attempts++
			down = attempts <= 100
			return answer{code: 502}
		}))
		if err == nil || attempts != 103 {
			t.Errorf("%v after %d attempts, want 103", err, attempts)
		}
		policy.Uncounted = func(error) bool { return true }
		attempts = 0
		_ = policy.Do(t.Context(), simple(func() error {
			attempts++
			return answer{code: 403}
		}))
		if attempts != 1 {
			t.Errorf("%d attempts at what is refused for good, want 1", attempts)
		}
	})
}

func TestProgressGivesTheBudgetBack(t *testing.T) {
	budget := Policy{Attempts: 3}.NewBudget()
	for n := range int64(20) {
		for want := 1; want <= 2; want++ {
			if _, again := budget.Failed(answer{code: 503}, 15*time.Second); !again || budget.Attempts() != want {
				t.Fatalf("attempt %d: again %v, %d counted", want, again, budget.Attempts())
			}
		}
		budget.Progressed(n + 1)
	}
	for range 2 {
		_, _ = budget.Failed(answer{code: 503}, 0)
		budget.Progressed(20) // as far as before, which is no progress
	}
	if _, again := budget.Failed(answer{code: 503}, 0); again {
		t.Error("a fourth attempt without progress")
	}
}

func TestBackoffsGrowAndAreBounded(t *testing.T) {
	policy := Policy{Base: time.Second, Max: 4 * time.Second}
	for failed, ceiling := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 60: 4 * time.Second} {
		longest := time.Duration(0)
		for range 500 {
			longest = max(longest, (&Budget{policy: policy, failed: failed}).backoff())
		}
		if longest > ceiling || longest < ceiling*8/10 {
			t.Errorf("after %d failures the longest backoff was %v, want nearly %v", failed, longest, ceiling)
		}
	}
}

func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		err := Policy{}.Do(ctx, simple(func() error { return answer{code: 429, after: time.Minute} }))
		_, isAnswer := errors.AsType[answer](err)
		if !isAnswer || !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("ended with %v after %v, want both causes after 1s", err, time.Since(start))
		}
	})
}

// What an attempt answers while its context ends is its result, not the failure before it.
func TestDoKeepsAPermanentFailureAtItsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	attempts, denied := 0, answer{code: 403}
	err := Policy{Base: time.Nanosecond}.Do(ctx, simple(func() error {
		if attempts++; attempts == 1 {
			return answer{code: 503}
		}
		cancel()
		return denied
	}))
	if !errors.Is(err, denied) || attempts != 2 {
		t.Errorf("got %v after %d attempts, want %v", err, attempts, denied)
	}
}

// An attempt may have a deadline of its own; only the caller's ends the whole.
func TestDoTellsItsDeadlineFromAnAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			whole time.Duration
			want  int
		}{{time.Hour, 3}, {time.Second, 1}} {
			ctx, cancel := context.WithTimeout(t.Context(), test.whole)
			attempts := 0
			err := Policy{Attempts: 3}.Do(ctx, func(ctx context.Context, _ func()) error {
				attempts++
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				<-ctx.Done()
				return ctx.Err()
			})
			cancel()
			if attempts != test.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("within %v: %d attempts, want %d: %v", test.whole, attempts, test.want, err)
			}
		}
	})
}
