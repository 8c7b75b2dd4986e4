package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ConnectionError is a request that got no answer. Its cause tells why: a net.DNSError, a
// certificate's error of crypto/tls, a [NotTLSError], a [StallError], a [RateError].
type ConnectionError struct {
	// Registry is the one that was meant, Host the host that was asked, which may be its
	// token server or where it redirects to.
	Registry, Host string
	Method         string
	// URL is without the values that may be secret.
	URL string
	Err error
}

// RegistryHost is the host that was asked.
func (e *ConnectionError) RegistryHost() string { return e.Host }

func (e *ConnectionError) Error() string { return fmt.Sprintf("%s %s: %v", e.Method, e.URL, e.Err) }

// Unwrap gives the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// Timeout reports whether nobody answered in time, as in net.Error.
func (e *ConnectionError) Timeout() bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](e.Err)
	return ok && timeout.Timeout()
}

// NotTLSError says that a host did not answer in TLS.
type NotTLSError struct {
	Host string
	// HTTP: what it answered was plain http, so that tls: disabled would reach it.
	HTTP bool
	Err  error
}

func (e *NotTLSError) Error() string {
	if e.HTTP {
		return e.Host + " speaks http, not https"
	}
	return e.Host + " does not speak TLS"
}

// Unwrap gives the cause.
func (e *NotTLSError) Unwrap() error { return e.Err }

func isNotTLS(err error) bool {
	_, found := errors.AsType[tls.RecordHeaderError](err)
	return found
}

func explainTLS(req *http.Request, err error) error {
	record, found := errors.AsType[tls.RecordHeaderError](err)
	if !found {
		return err
	}
	return &NotTLSError{Host: req.URL.Host, HTTP: string(record.RecordHeader[:]) == "HTTP/", Err: err}
}

// AwaitingAnswer is the phase in which the whole request is out.
const AwaitingAnswer = "for an answer"

// StallError says that a peer was silent for too long while we waited for it. It is a
// timeout.
type StallError struct {
	// Phase is what we waited for: "for a connection", "to take a byte", [AwaitingAnswer], "for a byte".
	Phase string
	Limit time.Duration
}

func (e *StallError) Error() string {
	return "waited " + e.Limit.String() + " " + e.Phase
}

var _ net.Error = (*StallError)(nil)

// Timeout implements net.Error.
func (e *StallError) Timeout() bool { return true }

// Temporary implements net.Error.
func (e *StallError) Temporary() bool { return true }

// RateError says that a peer was not silent, but took or sent so few bytes that a body would hardly end. It
// is a timeout.
type RateError struct {
	// Phase is what we waited for: "to take them", "for them".
	Phase string
	// Bytes are those of the time Waited, in which nothing but the peer was waited for.
	Bytes  int64
	Waited time.Duration
}

func (e *RateError) Error() string {
	return fmt.Sprintf("only %d bytes in %v of waiting %s", e.Bytes, e.Waited, e.Phase)
}

var _ net.Error = (*RateError)(nil)

// Timeout implements net.Error.
func (e *RateError) Timeout() bool { return true }

// Temporary implements net.Error.
func (e *RateError) Temporary() bool { return true }
