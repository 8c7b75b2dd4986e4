package registry

import (
	"fmt"
	"net/http"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
)

type (
	// Error is a registry's refusal, or its token server's: Method, URL (without values that may be secret), Status,
	// Code ("DENIED"; empty if there was none), Message (a line), and Wait, how long to wait before another attempt.
	// By its status and code it is a [content.ErrNotFound], [content.ErrUnauthorized], [content.ErrDenied],
	// [content.ErrUnsupported] or [content.ErrMismatch]; that of a storage server to which the registry redirects is
	// never ErrUnauthorized or ErrDenied, which are about accounts. HTTPStatus says whether another attempt makes sense.
	// Limit says what a 429 is about.
	Error = answer.Error
	// Limit is a limit that an answer 429 refers to.
	Limit = answer.Limit
	// NotRegistryError is a Host that answered with success, but not as a registry does: often a web page. It is a
	// [content.ErrInvalid].
	NotRegistryError = answer.NotRegistryError
	// ConnectionError is a request that got no answer. Registry is the one that was meant, Host the host that was asked,
	// which may be its token server or where it redirects to. It wraps the cause: a net.DNSError, a certificate's error
	// of crypto/tls, a [NotTLSError], a [StallError]. It is a net.Error's timeout if that was the cause.
	ConnectionError = wire.ConnectionError
	// NotTLSError is a Host that did not answer in TLS. HTTP: it answered in HTTP, so that [TLSDisabled] would reach it.
	NotTLSError = wire.NotTLSError
	// StallError is a peer that was silent for Limit. It is a net.Error, and a timeout. Phase is what was waited for.
	StallError = wire.StallError
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
	return fmt.Sprintf("%s does not accept manifests with the URLs of foreign layers: %v", e.Registry, e.Err)
}

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
func (e *ArtifactError) HTTPStatus() int { return answer.Status(e.Err) }

// ErrorCode is that of the answer.
func (e *ArtifactError) ErrorCode() string { return answer.Code(e.Err) }
