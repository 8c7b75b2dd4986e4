package answer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

func TestErrorIs(t *testing.T) {
	all := []error{content.ErrNotFound, content.ErrUnauthorized, content.ErrDenied, content.ErrUnsupported}
	for _, test := range []struct {
		err  Error
		want error
	}{
		{Error{Status: 404, Code: "MANIFEST_UNKNOWN"}, content.ErrNotFound},
		{Error{Status: 400, Code: "BLOB_UPLOAD_UNKNOWN"}, content.ErrNotFound},
		{Error{Status: 401, Code: "UNAUTHORIZED"}, content.ErrUnauthorized},
		{Error{Status: 401, Code: "DENIED"}, content.ErrDenied},
		{Error{Status: 403}, content.ErrDenied},
		{Error{Status: 405}, content.ErrUnsupported},
		{Error{Status: 400, Code: "UNSUPPORTED"}, content.ErrUnsupported},
		{Error{Status: 500}, nil},
		{Error{Status: 403, foreign: true}, nil},
		{Error{Status: 401, expired: true}, nil},
	} {
		wrapped := fmt.Errorf("wrapped: %w", &test.err)
		for _, sentinel := range all {
			if got, want := errors.Is(wrapped, sentinel), errors.Is(test.want, sentinel); got != want {
				t.Errorf("%+v is %v: got %v, want %v", test.err, sentinel, got, want)
			}
		}
	}
}

func TestWords(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, test := range []struct{ body, code, message string }{
		{`{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, "DENIED", "requested access to the resource is denied"},
		{`{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":"no config"}]}`, "MANIFEST_INVALID", "manifest invalid: no config"},
		{`{"errors":[{"code":"UNKNOWN","message":"m","detail":{"a":1}}]}`, "UNKNOWN", "m"},
		{`{"details":"incorrect username or password"}`, "", "incorrect username or password"},
		{`{"error":"invalid_grant","error_description":"the token is revoked"}`, "", "the token is revoked"},
		{`{"message":"toomanyrequests"}`, "", "toomanyrequests"},
		{"\n\r\n  bad\x1b[31m gateway \nmore", "", "bad [31m gateway"},
		{long, "", long[:300] + "…"},
		{"", "", ""},
		{"{}", "", ""},
	} {
		code, message := words(test.body)
		if code != test.code || message != test.message {
			t.Errorf("%.60q: got %q %q, want %q %q", test.body, code, message, test.code, test.message)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add(`{"errors":[{"code":"A","message":"b","detail":"c"}]}`)
	f.Add("<html>\n<body>no</body>")
	f.Fuzz(func(t *testing.T, body string) {
		code, message := words(body)
		if strings.ContainsAny(code+message, "\n\r\x1b\x00") {
			t.Errorf("control characters in %q %q", code, message)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		key, value string
		want       time.Duration
	}{
		{"Retry-After", strconv.FormatInt(now.Unix()+90, 10), 90 * time.Second},
		{"Retry-After", strconv.FormatInt(now.Unix()-90, 10), 0},
		{"Retry-After", "99999999999999999999", 0},
		{"Retry-After", "1000000000", 1_000_000_000 * time.Second},
		{"X-Retry-After", "17", 17 * time.Second},
		{"X-RateLimit-Reset", strconv.FormatInt(now.Unix()+90, 10), 90 * time.Second},
		{"Retry-After", "17", 17 * time.Second},
		{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		{"Retry-After", now.Add(-time.Minute).Format(http.TimeFormat), 0},
		{"Retry-After", "soon", 0},
		{"Retry-After", "-5", 0},
		{"X-Retry-After", strconv.FormatInt(now.Unix()+90, 10), 90 * time.Second},
		{"X-Other", "3", 0},
	} {
		header := http.Header{}
		header.Set(test.key, test.value)
		if got := RetryAfter(http.StatusTooManyRequests, header, now); got != test.want {
			t.Errorf("%s: %s: got %v, want %v", test.key, test.value, got, test.want)
		}
	}
	quota := http.Header{}
	quota.Set("X-RateLimit-Reset", "90")
	if got := RetryAfter(http.StatusServiceUnavailable, quota, now); got != 0 {
		t.Errorf("the quota's reset with a 503: got %v", got)
	}
	quota.Set("Retry-After", "5")
	quota.Set("X-Retry-After", "7")
	if got := RetryAfter(http.StatusTooManyRequests, quota, now); got != 7*time.Second {
		t.Errorf("all three headers: got %v, want the longer of the two that say when to retry", got)
	}
}

func TestRedact(t *testing.T) {
	for _, test := range []struct{ url, want string }{
		{"https://user:pw@h/v2/a/tags/list?n=5&last=x", "https://h/v2/a/tags/list?n=5&last=x"},
		{"https://s3/b?X-Amz-Signature=abc&digest=sha256:1&_state=s", "https://s3/b?X-Amz-Signature=***&digest=sha256:1&_state=***"},
		{"https://h/x?flag&token=t", "https://h/x?flag&token=***"},
	} {
		if got := Redact(mustParse(t, test.url)); got != test.want {
			t.Errorf("redact %s: got %s, want %s", test.url, got, test.want)
		}
	}
}

// If a server repeats the request's credentials, the error must not contain the password.
func TestEchoedSecretIsScrubbed(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "https://h/v2/", nil)
	req.SetBasicAuth("user", "hunter22")
	resp := &http.Response{StatusCode: http.StatusUnauthorized, Request: req, Header: http.Header{},
		Body: http.NoBody}
	for _, echo := range []string{"bad password hunter22", "bad " + req.Header.Get("Authorization")} {
		resp.Body = io.NopCloser(strings.NewReader(echo))
		if err := New(resp); strings.Contains(err.Error(), "hunter22") ||
			strings.Contains(err.Error(), strings.Fields(req.Header.Get("Authorization"))[1]) {
			t.Errorf("a secret in %q", err)
		}
	}
}
