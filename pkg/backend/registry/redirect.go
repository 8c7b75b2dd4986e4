package registry

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/content"
)

const maxRedirects = 8

// redirect is the RoundTripper that follows redirects, as [follow] allows. Authorization
// goes no further than the host that it was meant for.
type redirect struct {
	next  http.RoundTripper
	allow func(*url.URL) error // also checks where redirects lead, unless it is nil
}

var _ http.RoundTripper = (*redirect)(nil)

// RoundTrip implements http.RoundTripper.
func (r *redirect) RoundTrip(req *http.Request) (*http.Response, error) {
	for range maxRedirects {
		resp, err := r.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		onward, err := redirected(req, resp)
		if onward != nil && r.allow != nil {
			err = r.allow(onward.URL)
		}
		if err != nil {
			discard(resp)
			return nil, err
		}
		if onward == nil {
			return resp, nil
		}
		discard(resp)
		req = onward
	}
	closeBody(req)
	return nil, fmt.Errorf("%s: %w: more than %d redirects", req.URL.Host, content.ErrInvalid, maxRedirects-1)
}

// redirected is the request that an answer asks for instead of req, or nil.
func redirected(req *http.Request, resp *http.Response) (*http.Request, error) {
	read := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch resp.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if !read {
			return nil, nil
		}
	default:
		return nil, nil
	}
	to, err := follow(resp.Request.URL, resp.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	again, ok := rewind(req)
	if !ok {
		return nil, nil
	}
	onward := again.Clone(req.Context())
	onward.URL, onward.Host = to, ""
	if endpoint(to.Scheme, to.Host) != endpoint(resp.Request.URL.Scheme, resp.Request.URL.Host) {
		onward.Header.Del("Authorization")
	}
	return onward, nil
}
