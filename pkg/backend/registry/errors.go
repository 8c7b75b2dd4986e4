package registry

import (
	"fmt"
	"net/http"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
)

type (
	// Error is a refusal by a registry or its token server: Method, URL (without values that may be secret), Status,
	// Code ("DENIED"; empty if there was none), Message (one line), and Wait, the time to wait before another
	// attempt. Depending on status and code it is a [content.ErrNotFound], [content.ErrUnauthorized],
	// [content.ErrDenied], [content.ErrQuota], [content.ErrImmutable], [content.ErrPolicy], [content.ErrUnsupported] or
	// [content.ErrMismatch]. A refusal by a storage server to which the registry redirects is never ErrUnauthorized or ErrDenied, which concern accounts. HTTPStatus says whether
	// another attempt makes sense. Limit says what a 429 is about.
	Error = answer.Error
	// Limit is a limit that a 429 answer refers to.
	Limit = answer.Limit
	// NotRegistryError reports that a Host answered with success, but not as a registry does: often with a web page.
	// It is a [content.ErrInvalid].
	NotRegistryError = answer.NotRegistryError
	// ConnectionError reports a request that got no answer. Registry is the registry, Host the host that the request
	// went to, which may also be its token server or a redirect target. It wraps the cause: a net.DNSError, a
	// certificate error of crypto/tls, a [NotTLSError], a [StallError] or a [RateError]. Timeout reports whether the
	// cause was a timeout.
	ConnectionError = wire.ConnectionError
	// NotTLSError reports that a Host did not answer with TLS. HTTP: it answered with plain HTTP, so [TLSDisabled]
	// would reach it.
	NotTLSError = wire.NotTLSError
	// StallError reports that a peer was silent for Limit. It is a net.Error, and a timeout. Phase is what the
	// client waited for.
	StallError = wire.StallError
	// RateError reports that a peer sent or received only Bytes in the time Waited: less than 1 KiB/s. It is a
	// net.Error, and a timeout.
	RateError = wire.RateError
)

// The limits.
const (
	LimitPulls    = answer.LimitPulls
	LimitRequests = answer.LimitRequests
	LimitAPI      = answer.LimitAPI
)

// LayerURLsError says that a registry refuses manifests with the URLs of foreign layers, as distribution
// does until its configuration allows the URLs (validation.manifests.urls). If the answer is a 500, the
// error is a [content.ErrUnsupported].
type LayerURLsError struct {
	Registry string
	// Err is what the registry answered. Distribution answers 500, which is otherwise retried.
	Err error
}

func (e *LayerURLsError) Error() string {
	return fmt.Sprintf("%s does not accept foreign layers (manifests with URLs): %s", e.Registry, content.AnswerOf(e.Err).Reason)
}

// Reason is the answer without its URL.
func (e *LayerURLsError) Reason() string { return content.AnswerOf(e.Err).Reason }

// Unwrap makes a 500 a permanent refusal. Other answers are not retried anyway, and may also be about
// missing layers.
func (e *LayerURLsError) Unwrap() error {
	if answer.Status(e.Err) >= http.StatusInternalServerError {
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
	return fmt.Sprintf("%s does not accept an index of layers, such as a BuildKit cache: %s", e.Registry, content.AnswerOf(e.Err).Reason)
}

// Unwrap returns Err: a layer may be missing, too.
func (e *BlobsInIndexError) Unwrap() error { return e.Err }

// UnconfirmedError says that a registry accepted a manifest and then refused to show it, as it does to an account that
// may push and not pull. It is a [content.ErrUnconfirmed], and no [content.ErrDenied]: the account may push.
type UnconfirmedError struct {
	Registry string
	// Err is what the registry answered to the request for the manifest.
	Err error
}

func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("%s accepted the manifest, but the account may not read it back: %s", e.Registry, content.AnswerOf(e.Err).Reason)
}

// Unwrap replaces the answer.
func (e *UnconfirmedError) Unwrap() error { return content.ErrUnconfirmed }

// RegistryHost is that of the answer. It and the methods below are for [content.AnswerOf].
func (e *UnconfirmedError) RegistryHost() string { return content.AnswerOf(e.Err).Host }

// RequestURL is that of the answer.
func (e *UnconfirmedError) RequestURL() string { return content.AnswerOf(e.Err).URL }

// HTTPStatus is that of the answer.
func (e *UnconfirmedError) HTTPStatus() int { return answer.Status(e.Err) }

// ErrorCode is that of the answer.
func (e *UnconfirmedError) ErrorCode() string { return answer.Code(e.Err) }

// Reason is the answer without its URL.
func (e *UnconfirmedError) Reason() string {
	return "accepted, but not readable: " + content.AnswerOf(e.Err).Reason
}

// ArtifactError says that a repository accepts only images. Distribution with the policy "classes: [image]"
// refuses manifests whose config is not an image config, such as attestations and most referrers; Aliyun
// ACR's Personal Edition is reported to do the same. The error is a [content.ErrImagesOnly] and a [content.ErrUnsupported].
type ArtifactError struct {
	Registry string
	// Err is what the registry answered: a 403 that is not about the account.
	Err error
}

func (e *ArtifactError) Error() string {
	return fmt.Sprintf("%s accepts only images, not attestations or other artifacts: %s", e.Registry, content.AnswerOf(e.Err).Reason)
}

// Unwrap replaces the answer, which would be a [content.ErrDenied].
func (e *ArtifactError) Unwrap() []error {
	return []error{content.ErrUnsupported, content.ErrImagesOnly}
}

// HTTPStatus is that of the answer.
func (e *ArtifactError) HTTPStatus() int { return answer.Status(e.Err) }

// ErrorCode is that of the answer.
func (e *ArtifactError) ErrorCode() string { return answer.Code(e.Err) }

// Reason is the answer without its URL.
func (e *ArtifactError) Reason() string { return content.AnswerOf(e.Err).Reason }

// DigestOnlyError says that a registry does not delete tags, as distribution 2.8, which answers DIGEST_INVALID to a tag. The
// error is a [content.ErrUnsupported].
type DigestOnlyError struct {
	Registry string
	// Err is what the registry answered.
	Err error
}

func (e *DigestOnlyError) Error() string {
	return fmt.Sprintf("%s deletes only by digest: %s", e.Registry, content.AnswerOf(e.Err).Reason)
}

// Unwrap replaces the answer, which would be a [content.ErrMismatch].
func (e *DigestOnlyError) Unwrap() error { return content.ErrUnsupported }

// RegistryHost is that of the answer. It and the methods below are for [content.AnswerOf].
func (e *DigestOnlyError) RegistryHost() string { return content.AnswerOf(e.Err).Host }

// RequestURL is that of the answer.
func (e *DigestOnlyError) RequestURL() string { return content.AnswerOf(e.Err).URL }

// HTTPStatus is that of the answer.
func (e *DigestOnlyError) HTTPStatus() int { return answer.Status(e.Err) }

// ErrorCode is that of the answer.
func (e *DigestOnlyError) ErrorCode() string { return answer.Code(e.Err) }

// Reason is the answer without its URL.
func (e *DigestOnlyError) Reason() string {
	return "deletes only by digest: " + content.AnswerOf(e.Err).Reason
}
