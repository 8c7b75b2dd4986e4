package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// call is one request to a registry and the answers that are none of an error.
type call struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte    // of a small request
	stream *outgoing // of a large one
	intent intent
	accept []int // statuses; 200 if none
}

// do sends a call once. The caller closes the answer's body.
func (h *host) do(ctx context.Context, c call) (*http.Response, error) {
	c.intent.asked = time.Now()
	req, err := c.request(withIntent(ctx, c.intent))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", h.client.options.UserAgent)
	resp, err := h.registryRT.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if slices.Contains(c.accept, resp.StatusCode) || len(c.accept) == 0 && resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer discard(resp)
	failure := newError(resp)
	failure.foreign = !h.owns(resp.Request.URL)
	return nil, failure
}

func (c call) request(ctx context.Context) (*http.Request, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, c.method, c.url.String(), nil)
	if err != nil {
		return nil, err
	}
	if c.header != nil {
		req.Header = c.header.Clone()
	}
	switch {
	case c.stream != nil:
		c.stream.attach(req)
	case c.body != nil:
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
		req.Body, _ = open()
		req.GetBody, req.ContentLength = open, int64(len(c.body))
	}
	return req, nil
}

// ask sends a small call, as often as the policy wants, and hands the answer to read.
func (r *Repository) ask(ctx context.Context, c call, read func(*http.Response) error) error {
	return again(ctx, r.retry, func(ctx context.Context) error {
		resp, err := r.host.do(ctx, c)
		if err != nil {
			return err
		}
		defer discard(resp)
		return read(resp)
	})
}

func again(ctx context.Context, retry Retrier, op func(context.Context) error) error {
	if retry == nil {
		return op(ctx)
	}
	return retry.Do(ctx, op)
}

// nothing reads no more of an answer than that it came.
func nothing(*http.Response) error { return nil }

// readBounded reads a whole document of at most limit bytes.
func readBounded(resp *http.Response, limit int64) ([]byte, error) {
	tooLarge := func(size string) error {
		return fmt.Errorf("%s: %w: %s bytes, more than the %d that are accepted",
			redact(resp.Request.URL), content.ErrInvalid, size, limit)
	}
	if resp.ContentLength > limit {
		return nil, tooLarge(strconv.FormatInt(resp.ContentLength, 10))
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", redact(resp.Request.URL), err)
	}
	if int64(len(raw)) > limit {
		return nil, tooLarge("endless")
	}
	return raw, nil
}

// readJSON reads a document of at most limit bytes into v.
func readJSON(resp *http.Response, limit int64, v any) error {
	raw, err := readBounded(resp, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w: %w", redact(resp.Request.URL), content.ErrInvalid, err)
	}
	return nil
}
