package auth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func FuzzReadToken(f *testing.F) {
	for _, seed := range []string{
		`{"token":"t"}`, `{"access_token":"t","expires_in":300}`, `{"token":"a\r\nX: y"}`, `{"token":"t","expires_in":1e300,"issued_at":"9999-12-31T23:59:59Z"}`,
		`{"token":"t","expires_in":-1e300}`, `{"token":`, `[]`, `{"token":null}`,
	} {
		f.Add(seed, "Mon, 01 Jan 2001 00:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, body, date string) {
		got, err := readToken(&http.Response{
			Header: http.Header{"Date": {date}}, Body: document(body), ContentLength: -1, Request: httptest.NewRequest(http.MethodGet, "/token", nil),
		}, time.Now())
		if err == nil && (got.life <= 0 || got.value == "" || strings.ContainsAny(got.value.Reveal(), "\r\n\x00")) {
			t.Errorf("%q: a token of %v", body, got.life)
		}
	})
}

func FuzzParseScopes(f *testing.F) {
	f.Add("repository:library/nginx:pull,push registry:catalog:*")
	f.Add("repository:host:5000/a:pull")
	f.Add(":: a:b")
	f.Fuzz(func(t *testing.T, text string) {
		parsed := parseScopes(text)
		if again := parseScopes(parsed.String()); !again.covers(parsed) || !parsed.covers(again) {
			t.Errorf("%q: %q, and again %q", text, parsed, again)
		}
	})
}
