package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

const (
	// afterFailure is how long a mirror is not used after it could not be reached, or an answer broke off.
	afterFailure = time.Minute
	// afterWrongBytes is how long a mirror is not used after it served wrong bytes.
	afterWrongBytes = 24 * time.Hour
)

// parseMirror parses a host or a URL. Its errors do not quote the URL, which may contain a password.
func parseMirror(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil {
		return nil, fmt.Errorf("mirrors: %w: want a host, or a URL without credentials", content.ErrInvalid)
	}
	return u, nil
}

// fromAny reads from r's mirrors in turn, in one attempt each, and then from r itself.
func fromAny[T any](ctx context.Context, r *caller, read func(*caller) (T, error)) (T, error) {
	for _, mirror := range r.mirrors {
		if mirror.host.avoided.holds() {
			continue
		}
		got, err := read(mirror)
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return got, err
		}
		avoid(mirror, err)
	}
	return read(r)
}

// avoid does not use a mirror for a while after an error that is the mirror's own. Not found and not allowed are no such
// errors.
func avoid(mirror *caller, err error) {
	if errors.Is(err, content.ErrUnsupported) { // it serves whole blobs
		return
	}
	refusal, answered := errors.AsType[*answer.Error](err)
	avoided := &mirror.host.avoided
	switch {
	case errors.Is(err, content.ErrMismatch):
		avoided.observe(afterWrongBytes)
	case !answered:
		avoided.observe(max(retry.After(err), afterFailure))
	case refusal.Status == http.StatusTooManyRequests || refusal.Status >= http.StatusInternalServerError:
		avoided.observe(max(refusal.Wait, afterFailure))
	}
}

// checked is the body of a blob from a mirror. If it is wrong, the mirror is avoided, so that the next attempt goes
// elsewhere.
type checked struct {
	io.Closer
	stream *content.Stream
	mirror *caller
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	if mismatch, ok := errors.AsType[*content.MismatchError](err); ok && mismatch.Short() {
		c.mirror.host.avoided.observe(afterFailure)
	} else if err != nil && !errors.Is(err, io.EOF) {
		avoid(c.mirror, err)
	}
	return n, err
}
