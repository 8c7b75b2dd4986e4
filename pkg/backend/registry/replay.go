package registry

import "net/http"

// replay is the RoundTripper that has requests repeated at once which went to a connection
// that the server had just closed, before a byte of an answer came. http.Transport does
// that by itself for GET and HEAD; an empty idempotency key, which is not sent, asks it to
// do so for the others, where they have no body or one that can be had again.
type replay struct{ next http.RoundTripper }

var _ http.RoundTripper = (*replay)(nil)

// RoundTrip implements http.RoundTripper.
func (r *replay) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header["X-Idempotency-Key"] = []string{}
	return r.next.RoundTrip(req)
}
