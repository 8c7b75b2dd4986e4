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
	// afterFailure is how long a mirror is left alone that could not be reached, or broke
	// in the middle.
	afterFailure = time.Minute
	// afterWrongBytes is how long a mirror is not used after it served wrong bytes.
	afterWrongBytes = 24 * time.Hour
)

// parseMirror does not quote what it cannot read: people put passwords into URLs.
func parseMirror(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil {
		return nil, fmt.Errorf("mirrors: %w: neither a host nor the URL of one, without user info", content.ErrInvalid)
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
		blame(mirror, err)
	}
	return read(r)
}

// blame leaves a mirror alone for a while after an error that is its own. That something
// is not there, or not for us, is no such error.
func blame(mirror *caller, err error) {
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

// suspect checks what a mirror sends, so that another attempt goes elsewhere if it is wrong.
func suspect(body io.ReadCloser, d content.Descriptor, mirror *caller) io.ReadCloser {
	return &suspected{Closer: body, stream: content.NewStream(body, d), mirror: mirror}
}

type suspected struct {
	io.Closer
	stream *content.Stream
	mirror *caller
}

func (s *suspected) Read(p []byte) (int, error) {
	n, err := s.stream.Read(p)
	if mismatch, ok := errors.AsType[*content.MismatchError](err); ok && mismatch.Short() {
		s.mirror.host.avoided.observe(afterFailure)
	} else if err != nil && !errors.Is(err, io.EOF) {
		blame(s.mirror, err)
	}
	return n, err
}
