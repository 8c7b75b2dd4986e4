package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// ConnectionError reports a request that got no answer, as package registry exports it.
type ConnectionError struct {
	Registry, Host, Method string
	URL                    string // without values that may be secret
	Err                    error
}

// RegistryHost returns Host. It and the next two methods are for [content.AnswerOf].
func (e *ConnectionError) RegistryHost() string { return e.Host }

// RequestURL returns URL.
func (e *ConnectionError) RequestURL() string { return e.URL }

// Reason returns the cause, without the addresses of the connection: equal causes have equal reasons.
func (e *ConnectionError) Reason() string {
	op, ok := errors.AsType[*net.OpError](e.Err)
	if !ok || op.Error() != e.Err.Error() {
		return content.AnswerOf(e.Err).Reason
	}
	if op.Op == "proxyconnect" {
		return strings.TrimSpace("connect to the proxy "+dialedProxy(op)) + ": " + connectionCause(op.Err)
	}
	return connectionCause(op)
}

// dialedProxy returns the address of a proxy that could not be connected to; empty if it is not known.
func dialedProxy(op *net.OpError) string {
	if dial, ok := errors.AsType[*net.OpError](op.Err); ok && dial.Addr != nil {
		return dial.Addr.String()
	}
	return ""
}

// connectionCause returns the cause of a failed connection without the call, the addresses and the DNS server.
func connectionCause(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "no such host"
		}
		return "DNS lookup: " + dns.Err
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	for op, ok := errors.AsType[*net.OpError](err); ok; op, ok = errors.AsType[*net.OpError](err) {
		err = op.Err
	}
	return err.Error()
}

// Error does not name the request, whose URL is in the log of requests. A proxy and a server without TLS are named by their
// own address.
func (e *ConnectionError) Error() string {
	if notTLS, ok := errors.AsType[*NotTLSError](e.Err); ok && notTLS.Host == e.Host {
		return e.Reason()
	}
	return e.Host + ": " + e.Reason()
}

// Unwrap gives the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// Timeout implements net.Error: it reports whether the cause was a timeout.
func (e *ConnectionError) Timeout() bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](e.Err)
	return ok && timeout.Timeout()
}

// NotTLSError reports that a host did not answer with TLS, as package registry exports it.
type NotTLSError struct {
	Host string
	HTTP bool // the answer was plain http
	Err  error
}

func (e *NotTLSError) Error() string {
	if e.HTTP {
		return e.Host + " sent an HTTP response to an HTTPS request"
	}
	return e.Host + " does not use TLS"
}

// Unwrap gives the cause.
func (e *NotTLSError) Unwrap() error { return e.Err }

func isNotTLS(err error) bool {
	_, found := errors.AsType[tls.RecordHeaderError](err)
	return found
}

func explainTLS(host string, err error) error {
	record, found := errors.AsType[tls.RecordHeaderError](err)
	if !found {
		return err
	}
	return &NotTLSError{Host: host, HTTP: string(record.RecordHeader[:]) == "HTTP/", Err: err}
}

// AwaitingAnswer is the phase after the whole request was sent.
const AwaitingAnswer = "for a response"

// StallError reports that the client waited too long for a silent peer. It is a timeout.
type StallError struct {
	// Phase is what the client waited for: "for a connection", "to send data", [AwaitingAnswer], "for data".
	Phase string
	Limit time.Duration
}

func (e *StallError) Error() string {
	return "timed out after " + e.Limit.String() + " waiting " + e.Phase
}

var _ net.Error = (*StallError)(nil)

// Timeout implements net.Error.
func (e *StallError) Timeout() bool { return true }

// Temporary implements net.Error.
func (e *StallError) Temporary() bool { return true }

// RateError reports that a peer was not silent, but received or sent bytes more slowly than [Limits.Rate]. It is a
// timeout.
type RateError struct {
	// Direction is that of the bytes: "sent" or "received".
	Direction string
	// Bytes passed in the time Waited, which counts only the waits for the peer.
	Bytes  int64
	Waited time.Duration
}

func (e *RateError) Error() string {
	return fmt.Sprintf("too slow: only %d bytes %s in %v", e.Bytes, e.Direction, e.Waited)
}

var _ net.Error = (*RateError)(nil)

// Timeout implements net.Error.
func (e *RateError) Timeout() bool { return true }

// Temporary implements net.Error.
func (e *RateError) Temporary() bool { return true }
