package registry

import (
	"bytes"
	"io"
	"net/http"
)

// authorize is the RoundTripper that answers challenges. The first request goes without
// credentials and serves as the question; from the first 401 on they are sent at once. A
// body that was begun is never sent again.
type authorize struct {
	host *host
	next http.RoundTripper
}

var _ http.RoundTripper = (*authorize)(nil)

// RoundTrip implements http.RoundTripper.
func (a *authorize) RoundTrip(req *http.Request) (*http.Response, error) {
	if !a.host.owns(req.URL) { // an upload's Location elsewhere
		return a.next.RoundTrip(req)
	}
	ahead, err := a.host.authority.enter(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if ahead {
		defer a.host.authority.first.back()
	}
	in := intentOf(req.Context())
	g, err := a.host.authority.authorise(req.Context(), in)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := a.send(req, g)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !a.host.owns(resp.Request.URL) {
		return resp, err
	}
	detach(resp)
	second, err := a.host.authority.answer(req.Context(), resp, in, g)
	if err != nil {
		return nil, err
	}
	if second == nil {
		return resp, nil
	}
	again, ok := rewind(req)
	if !ok {
		second.giveBack()
		return resp, nil
	}
	return a.send(again, second)
}

// send sends req with what g grants, and learns from the answer whether a password is right.
func (a *authorize) send(req *http.Request, g *grant) (*http.Response, error) {
	if g == nil {
		return a.next.RoundTrip(req)
	}
	defer g.giveBack()
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", g.header)
	resp, err := a.next.RoundTrip(req)
	if err != nil || g.login == nil || !a.host.owns(resp.Request.URL) {
		return resp, err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		g.login.prove()
		return resp, nil
	}
	// Harbor answers 401 to a mount from a project that does not exist.
	if intentOf(req.Context()).from == "" && !g.login.isProven() {
		refusal := newError(resp)
		discard(resp)
		g.login.refuse(refusal)
		return nil, refusal
	}
	return resp, nil
}

// detach frees the connection of an answer, and keeps its words.
func detach(resp *http.Response) {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxWords))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(raw))
}

// rewind is req with its body from the start, if that is possible.
func rewind(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, true
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
