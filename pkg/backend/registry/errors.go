package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// Error is a registry's refusal, or its token server's. By its status and code it is a
// [content.ErrNotFound], [content.ErrUnauthorized], [content.ErrDenied] or
// [content.ErrUnsupported]. An error of a storage server to which the registry redirects is
// never ErrUnauthorized or ErrDenied, which are about accounts. It holds no secret.
type Error struct {
	Method string
	// URL is without the values that may be secret.
	URL    string
	Status int
	// Code is the registry's, "DENIED"; empty if it gave none.
	Code string
	// Message is what it said, in a line; empty if it said nothing.
	Message string
	// Wait is how long to wait before another attempt; zero if the registry did not say.
	Wait time.Duration

	foreign bool
	// expired: the token ended while a body was on its way. Another attempt gets a new one.
	expired bool
}

func (e *Error) Error() string {
	said := []string{fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status)), e.Code, e.Message}
	return strings.Join(slices.DeleteFunc(said, func(s string) bool { return s == "" }), ": ")
}

// HTTPStatus is the status that says whether another attempt makes sense.
func (e *Error) HTTPStatus() int {
	if e.expired {
		return http.StatusRequestTimeout
	}
	return e.Status
}

// ErrorCode returns Code, for callers that test errors by interface and do not import this package.
func (e *Error) ErrorCode() string { return e.Code }

// RetryAfter returns how long the registry asks clients to wait; zero if it does not say.
func (e *Error) RetryAfter() time.Duration { return e.Wait }

// Is maps what a registry says to what callers test for.
func (e *Error) Is(target error) bool {
	switch target {
	case content.ErrNotFound:
		return e.Status == http.StatusNotFound || e.Status == http.StatusGone || e.Code == "BLOB_UPLOAD_UNKNOWN"
	case content.ErrUnauthorized:
		return e.Status == http.StatusUnauthorized && e.Code != "DENIED" && !e.foreign && !e.expired
	case content.ErrDenied:
		return !e.foreign && !e.expired &&
			(e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized && e.Code == "DENIED")
	case content.ErrUnsupported:
		return e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented || e.Code == "UNSUPPORTED"
	case content.ErrMismatch:
		return e.Code == "DIGEST_INVALID" || e.Code == "SIZE_INVALID"
	}
	return false
}

// statusOf is the status of the [*Error] in err, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// LayerURLsError says that a registry refuses manifests with the URLs of foreign layers, as distribution
// does until its configuration allows the URLs (validation.manifests.urls). If the answer is a 500, the
// error is a [content.ErrUnsupported].
type LayerURLsError struct {
	Registry string
	// Err is what the registry answered. Distribution answers 500, which is otherwise retried.
	Err error
}

func (e *LayerURLsError) Error() string {
	return fmt.Sprintf("%s does not accept manifests with the URLs of foreign layers: %v", e.Registry, e.Err)
}

// Unwrap makes a 500 a permanent refusal. Other answers are not retried anyway, and may also be about
// missing layers.
func (e *LayerURLsError) Unwrap() error {
	if statusOf(e.Err) >= http.StatusInternalServerError {
		return content.ErrUnsupported
	}
	return e.Err
}

// BlobsInIndexError says that a registry refuses an index whose children are layers, as BuildKit writes
// it for a cache: distribution looks for manifests there.
type BlobsInIndexError struct {
	Registry string
	// Err is what the registry answered.
	Err error
}

func (e *BlobsInIndexError) Error() string {
	return fmt.Sprintf("%s does not accept an index of layers, as BuildKit writes it for a cache: %v", e.Registry, e.Err)
}

// Unwrap returns Err: a layer may be missing, too.
func (e *BlobsInIndexError) Unwrap() error { return e.Err }

// ArtifactError says that a repository accepts only images. Distribution with the policy "classes: [image]"
// refuses manifests whose config is not an image config, such as attestations and most referrers; Aliyun
// ACR's Personal Edition is reported to do the same. The error is a [content.ErrUnsupported].
type ArtifactError struct {
	Registry string
	// Err is what the registry answered: a 403 that is not about the account.
	Err error
}

func (e *ArtifactError) Error() string {
	return fmt.Sprintf("%s accepts only images, not attestations or other artifacts: %v", e.Registry, e.Err)
}

// Unwrap replaces the answer, which would be a [content.ErrDenied].
func (e *ArtifactError) Unwrap() error { return content.ErrUnsupported }

// HTTPStatus is that of the answer.
func (e *ArtifactError) HTTPStatus() int { return statusOf(e.Err) }

// ErrorCode is that of the answer.
func (e *ArtifactError) ErrorCode() string { return codeOf(e.Err) }

// ConnectionError is a request that got no answer. Its cause tells why: a net.DNSError, a
// certificate's error of crypto/tls, a [NotTLSError], a [StallError].
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

// brokenOrInvalid is the error of reading a JSON document: that of the connection, or else
// the document is wrong.
func brokenOrInvalid(err error) error {
	if _, broken := errors.AsType[interface {
		error
		Timeout() bool
	}](err); broken || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("%w: %w", content.ErrInvalid, err)
}

// discard ends an answer so that its connection can be used again, if little is left.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10)
	_ = resp.Body.Close()
}

// firstLine returns the first line of an external text that is not empty, shortened and without control
// characters.
func firstLine(text string) string {
	const longest = 300
	for line := range strings.Lines(text) {
		line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
		if line == "" {
			continue
		}
		if len(line) > longest {
			line = strings.ToValidUTF8(line[:longest], "") + "…"
		}
		return strings.ToValidUTF8(line, "?")
	}
	return ""
}
