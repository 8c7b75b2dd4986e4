package report

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"unicode/utf8"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer"
)

// Cause is why something failed, without what failed. Failures with equal causes are reported together.
type Cause struct {
	// Side is the end of the copy that failed; empty if it was neither.
	Side transfer.Side `json:"side,omitempty"`
	// Host is the registry, or the host that a request to it was redirected to.
	Host string `json:"host,omitempty"`
	// Status is the HTTP status of the answer; 0 if there was none.
	Status int `json:"status,omitempty"`
	// Code is the registry's error code ("DENIED") or, if there was no answer, one of this package
	// ("CONNECTION_REFUSED"); empty if neither is known.
	Code string `json:"code,omitempty"`
}

// The codes of causes that no registry has stated.
const (
	CodeConnectionRefused = "CONNECTION_REFUSED"
	CodeConnectionClosed  = "CONNECTION_CLOSED" // or reset by the peer
	CodeUnreachable       = "UNREACHABLE"       // no route to the host
	CodeUnknownHost       = "UNKNOWN_HOST"
	CodeTimeout           = "TIMEOUT"
	CodeCertificate       = "CERTIFICATE" // not trusted, or for another name
	CodeNotTLS            = "NOT_TLS"
	CodeNoSpace           = "NO_SPACE"  // of a disk on this machine
	CodeReadOnly          = "READ_ONLY" // the same: it, or a file there, denies access
	CodeNotFound          = "NOT_FOUND"
	CodeUnauthorized      = "UNAUTHORIZED"
	CodeDenied            = "DENIED"
	CodeUnsupported       = "UNSUPPORTED"
	CodeInvalid           = "INVALID"
	CodeMismatch          = "DIGEST_INVALID"
	CodeNoPlatform        = "NO_PLATFORM"
	CodeInterrupted       = "INTERRUPTED"
	CodeDeferred          = "DEFERRED"
)

// conditions are tried in this order: the most specific ones first.
var conditions = []struct {
	code string
	is   []error
}{
	{CodeConnectionRefused, []error{syscall.ECONNREFUSED}},
	{CodeConnectionClosed, []error{syscall.ECONNRESET, syscall.EPIPE, io.ErrUnexpectedEOF, io.EOF}},
	{CodeUnreachable, []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH}},
	{CodeNoSpace, []error{syscall.ENOSPC, syscall.EDQUOT}},
	{CodeReadOnly, []error{syscall.EROFS}},
	{CodeNoPlatform, []error{transfer.ErrNoPlatform}},
	{CodeNotFound, []error{content.ErrNotFound}},
	{CodeUnauthorized, []error{content.ErrUnauthorized}},
	{CodeDenied, []error{content.ErrDenied}},
	{CodeMismatch, []error{content.ErrMismatch}},
	{CodeInvalid, []error{content.ErrInvalid}},
	{CodeUnsupported, []error{content.ErrUnsupported}},
	{CodeTimeout, []error{context.DeadlineExceeded}},
	{CodeInterrupted, []error{context.Canceled}},
	{CodeDeferred, []error{transfer.ErrDeferred}},
}

// CauseOf returns the cause of an error.
func CauseOf(err error) Cause {
	if interrupted, ok := errors.AsType[*transfer.InterruptedError](err); ok {
		err = interrupted.Err // not what ended the run
	}
	answer := content.AnswerOf(err)
	c := Cause{Host: answer.Host, Status: answer.Status, Code: answer.Code}
	if c.Status == 0 && c.Code == "" {
		c.Code = codeOf(err)
	}
	if side, ok := errors.AsType[*transfer.Error](err); ok {
		c.Side, c.Host = side.Side, cmp.Or(c.Host, side.Reference.Registry)
	}
	return c
}

func codeOf(err error) string {
	for _, condition := range conditions {
		for _, target := range condition.is {
			if errors.Is(err, target) {
				return condition.code
			}
		}
	}
	// A firewall on this machine refuses a connection with the same error.
	if _, ofNetwork := errors.AsType[*net.OpError](err); !ofNetwork && errors.Is(err, fs.ErrPermission) {
		return CodeReadOnly
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return CodeUnknownHost
	}
	if isCertificate(err) {
		return CodeCertificate
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return CodeNotTLS
	}
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return CodeTimeout
	}
	return ""
}

func isCertificate(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	return verification || authority || name
}

// Problem is an error as data. It has no secrets; texts of servers in it may have control characters.
type Problem struct {
	Cause
	// Address is the network address behind Host, if the connection failed.
	Address string `json:"address,omitempty"`
	// URL is that of the failed request, without its secrets.
	URL string `json:"url,omitempty"`
	// Message is the full error. Reason is the part without the image and the host; empty if unknown.
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"`
	// Hint is the next step, if one is known.
	Hint string `json:"hint,omitempty"`
	// Interrupted reports whether the run ended before the failure was final.
	Interrupted bool `json:"-"`
}

// Hints returns the next step for an error, or the empty text. It may be nil.
type Hints func(error) string

// NewProblem describes an error; nil for nil. hints may be nil.
func NewProblem(err error, hints Hints) *Problem {
	if err == nil {
		return nil
	}
	p := &Problem{Cause: CauseOf(err), Message: Shorten(err.Error())}
	answer := content.AnswerOf(err)
	p.URL = Shorten(answer.URL)
	if answer.Reason != err.Error() {
		p.Reason = Shorten(answer.Reason)
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Addr != nil {
		p.Address = dial.Addr.String()
	}
	_, p.Interrupted = errors.AsType[*transfer.InterruptedError](err)
	if hints != nil {
		p.Hint = hints(err)
	}
	return p
}

// isDenied reports whether an error is a refused login or a missing permission. A 403 for another cause (quota,
// policy, immutability, media type) is neither, which the error says by not being a [content.ErrDenied].
func isDenied(err error) bool {
	return errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied)
}

// IsDeferred reports whether an error only leaves work to the next run.
func IsDeferred(err error) bool {
	return errors.Is(err, transfer.ErrDeferred) || errors.Is(err, context.Canceled)
}

// StatusText is the status of a cause as HTTP words it: "403 Forbidden"; empty if there is none.
func (c Cause) StatusText() string {
	if c.Status == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", c.Status, http.StatusText(c.Status))
}

// maxText bounds the text of an error or a warning, in bytes. An image may have 10,000 platforms, with names of any
// length: a message that listed them had 4.5 MB.
const maxText = 4 << 10

// Shorten cuts a text that is too long for a report, and says so in it.
func Shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s … (%d bytes are left out)", s[:end], len(s)-end)
}
