package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// status is an error that a server gave an HTTP status with.
type status interface {
	error
	HTTPStatus() int
}

// delayed is an error with which a server stated when to come back.
type delayed interface {
	error
	RetryAfter() time.Duration
}

// final is an error that rules out another attempt.
type final interface {
	error
	Lasting() bool
}

// After is how long the server asked the client to wait; zero if it did not.
func After(err error) time.Duration {
	if d, ok := errors.AsType[delayed](err); ok {
		return max(d.RetryAfter(), 0)
	}
	return 0
}

// Retryable reports whether the same attempt may succeed later. Of several causes in one
// error, a lasting one decides. The caller's own deadline looks like any other time-out
// here: [Policy.Do] has its context to tell them apart.
func Retryable(err error) bool {
	return err != nil && !errors.Is(err, context.Canceled) && judge(err) == passing
}

type verdict uint8

const (
	unknown verdict = iota
	passing
	permanent
)

// judge looks at each of several causes that are joined in an error.
func judge(err error) verdict {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		joined, ok := inner.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		found := judgeOne(err)
		for _, cause := range joined.Unwrap() {
			found = max(found, judge(cause))
		}
		return found
	}
	return judgeOne(err)
}

// judgeOne judges an error by the first cause of each kind in it.
func judgeOne(err error) verdict {
	if After(err) > MaxRetryAfter {
		return permanent
	}
	if f, ok := errors.AsType[final](err); ok && f.Lasting() {
		return permanent
	}
	// Content that is wrong stays wrong; content that merely ended early was cut off.
	if m, ok := errors.AsType[*content.MismatchError](err); ok {
		return passingIf(m.Short())
	}
	if errors.Is(err, content.ErrTooLarge) {
		return passing // the next attempt is another one
	}
	// The status beats the sentinel that was derived from it: ErrNotFound and the like
	// are 4xx. An error after a good status, in the body, is judged by its cause.
	if s, ok := errors.AsType[status](err); ok && s.HTTPStatus() >= http.StatusBadRequest {
		return passingIf(slices.Contains(retryableStatuses, s.HTTPStatus()))
	}
	if lasting(err) || untrusted(err) {
		return permanent
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return passingIf(!dns.IsNotFound)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || disconnected(err) {
		return passing
	}
	return unknown
}

func passingIf(may bool) verdict {
	if may {
		return passing
	}
	return permanent
}

var retryableStatuses = []int{
	http.StatusRequestTimeout, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// untrusted reports whether TLS failed for a lasting reason.
func untrusted(err error) bool {
	return is[*tls.CertificateVerificationError](err) || is[x509.UnknownAuthorityError](err) || is[x509.HostnameError](err) ||
		is[x509.CertificateInvalidError](err) || is[tls.AlertError](err) || is[tls.RecordHeaderError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func lasting(err error) bool {
	return isAny(err,
		content.ErrNotFound, content.ErrUnauthorized, content.ErrDenied, content.ErrUnsupported,
		content.ErrInvalid, content.ErrMismatch, content.ErrSchema1,
		syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM)
}

// disconnected reports a connection that broke or could not be made.
func disconnected(err error) bool {
	return isAny(err,
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EPIPE,
		syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN)
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
