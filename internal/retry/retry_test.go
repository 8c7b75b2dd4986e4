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

// spared is an error that says that another attempt is in vain, whatever it came of.
type spared struct{ error }

func (spared) Lasting() bool   { return true }
func (s spared) Unwrap() error { return s.error }

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
		{"no TLS", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, false},
		{"refused by TLS", &net.OpError{Op: "remote error", Err: tls.AlertError(40)}, false},
		{"mismatch", content.ErrMismatch, false},
		{"a deadline of one attempt", fmt.Errorf("get: %w", context.DeadlineExceeded), true},
		{"denied", content.ErrDenied, false},
		{"cut off", &content.MismatchError{Want: blob, GotSize: 1}, true},
		{"too long", &content.MismatchError{Want: blob, GotSize: 4}, false},
		{"other bytes", &content.MismatchError{Want: blob, GotSize: 3, GotDigest: "sha256:0"}, false},
		{"refused for so long that nobody tries", fmt.Errorf("head: %w", spared{syscall.ECONNREFUSED}), false},
		{"anything else", errors.New("odd"), false},
	} {
		if got := Retryable(test.err); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestDoTriesUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, told := 0, 0
		policy := Policy{Notify: func(attempt int, _ time.Duration, _ error) { told = attempt }}
		err := policy.Do(t.Context(), func(context.Context) error {
			if attempts++; attempts < 4 {
				return answer{code: 503}
			}
			return nil
		})
		if err != nil || attempts != 4 || told != 3 {
			t.Errorf("%v after %d attempts, told of %d", err, attempts, told)
		}
	})
}

func TestDoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			err  error
			want int
		}{{answer{code: 503}, 3}, {answer{code: 403}, 1}} {
			attempts := 0
			err := Policy{Attempts: 3}.Do(t.Context(), func(context.Context) error {
				attempts++
				return test.err
			})
			if !errors.Is(err, test.err) || attempts != test.want {
				t.Errorf("%v after %d attempts, want %d", err, attempts, test.want)
			}
		}
	})
}

func TestDoWaitsAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		attempts := 0
		_ = Policy{Attempts: 2}.Do(t.Context(), func(context.Context) error {
			attempts++
			return answer{code: 429, after: 7 * time.Second}
		})
		if waited := time.Since(start); waited != 7*time.Second || attempts != 2 {
			t.Errorf("waited %v for attempt %d, want 7s", waited, attempts)
		}
	})
}

func TestPausesGrowAndAreBounded(t *testing.T) {
	p := Policy{Base: time.Second, Max: 4 * time.Second}
	for attempt, ceiling := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 60: 4 * time.Second} {
		longest := time.Duration(0)
		for range 500 {
			longest = max(longest, p.pause(attempt, answer{code: 503}))
		}
		if longest > ceiling || longest < ceiling*8/10 {
			t.Errorf("after attempt %d the longest pause was %v, want nearly %v", attempt, longest, ceiling)
		}
	}
}

func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		err := Policy{}.Do(ctx, func(context.Context) error { return answer{code: 429, after: time.Minute} })
		_, isAnswer := errors.AsType[answer](err)
		if !isAnswer || !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("ended with %v after %v, want both causes after 1s", err, time.Since(start))
		}
	})
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
			err := Policy{Attempts: 3}.Do(ctx, func(ctx context.Context) error {
				attempts++
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
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
