package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// status is an error that a server gave an HTTP status with.
type status interface {
	error
	HTTPStatus() int
}

// delayed is an error with which a server said when to come back.
type delayed interface {
	error
	RetryAfter() time.Duration
}

// After is how long the server wants to be left alone; zero where it did not say.
func After(err error) time.Duration {
	if d, ok := errors.AsType[delayed](err); ok {
		return max(d.RetryAfter(), 0)
	}
	return 0
}

// final are the conditions that another attempt does not change.
var final = []error{
	content.ErrNotFound, content.ErrUnauthorized, content.ErrDenied, content.ErrUnsupported,
	content.ErrInvalid, content.ErrSchema1,
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM,
}

// transient are the causes that pass: connections that broke or could not be made.
var transient = []error{
	io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
	syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EPIPE,
	syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN,
}

// Retryable reports whether the same attempt may succeed later.
func Retryable(err error) bool {
	if err == nil || After(err) > MaxRetryAfter {
		return false
	}
	// Content that is wrong stays wrong; content that merely ended early was cut off.
	if m, ok := errors.AsType[*content.MismatchError](err); ok {
		return m.Short()
	}
	// What a server said beats what its words are taken to mean: ErrNotFound and the like
	// are 4xx.
	if s, ok := errors.AsType[status](err); ok && s.HTTPStatus() != 0 {
		return retryableStatus(s.HTTPStatus())
	}
	if isAny(err, final) || untrusted(err) {
		return false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return !dns.IsNotFound
	}
	if isAny(err, transient) {
		return true
	}
	// The caller's own deadline looks like any other time-out here: Do has seen to it.
	if errors.Is(err, context.Canceled) {
		return false
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func retryableStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// untrusted reports whether TLS failed for a reason that stays.
func untrusted(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return true
	}
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return plain
}

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
