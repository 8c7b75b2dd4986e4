package answer

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

func TestErrorIs(t *testing.T) {
	all := []error{content.ErrNotFound, content.ErrUnauthorized, content.ErrDenied, content.ErrQuota, content.ErrImmutable, content.ErrPolicy, content.ErrUnsupported}
	harbor := "adding 2.1 MiB of storage resource, which when updated to current usage of 8.3 MiB will exceed the configured upper limit of 10.0 MiB."
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
		{Error{Method: "PUT", Status: 412, Code: "PRECONDITION", Message: harbor}, content.ErrQuota},
		{Error{Method: "POST", Status: 403, Code: "DENIED", Message: harbor}, content.ErrQuota},
		{Error{Method: "PATCH", Status: 403, Code: "DENIED", Message: "Quota has been exceeded on namespace"}, content.ErrQuota},
		{Error{Method: "PUT", Status: 413, Message: "storage quota exceeded"}, content.ErrQuota},
		{Error{Method: "PUT", Status: 507, Message: "storage quota exceeded"}, content.ErrQuota},
		{Error{Method: "PUT", Status: 400, Message: "storage quota exceeded", foreign: true}, nil},
		{Error{Method: "PUT", Status: 429, Message: "quota exceeded"}, nil},
		{Error{Method: "PUT", Status: 500, Message: "quota exceeded"}, nil},
		{Error{Method: "GET", Status: 403, Message: "download quota exceeded"}, content.ErrDenied},
		{Error{Status: 403, Message: "no permission to set a quota"}, content.ErrDenied},
		{Error{Method: "PUT", Status: 412, Code: "PRECONDITION", Message: "Failed to process request due to 'app:v1' configured as immutable."}, content.ErrImmutable},
		{Error{Method: "PUT", Status: 403, Code: "DENIED", Message: "tag v1 is immutable, cannot be updated"}, content.ErrImmutable},
		{Error{Method: "DELETE", Status: 403, Message: "Tag v1 is immutable"}, content.ErrImmutable},
		{Error{Method: "PUT", Status: 409, Code: "TAG_IMMUTABLE", Message: "The requested tag exists."}, content.ErrImmutable},
		{Error{Method: "PUT", Status: 400, Code: "ImageTagAlreadyExistsException"}, content.ErrImmutable},
		{Error{Method: "PUT", Status: 400, Code: "TAG_INVALID", Message: "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the repository is immutable."}, content.ErrImmutable},
		{Error{Method: "GET", Status: 403, Message: "tag v1 is immutable"}, content.ErrDenied},
		{Error{Method: "PUT", Status: 403, Message: "no permission to change rules of immutability"}, content.ErrDenied},
		{Error{Method: "GET", Status: 412, Code: "PROJECTPOLICYVIOLATION", Message: "current image without vulnerability scanning cannot be pulled due to configured policy"}, content.ErrPolicy},
		{Error{Method: "GET", Status: 403, Code: "DENIED", Message: "current image with 5 vulnerabilities cannot be deployed due to policy"}, content.ErrPolicy},
		{Error{Method: "PUT", Status: 403, Message: "push is prevented by a policy of the project"}, content.ErrPolicy},
		{Error{Method: "PUT", Status: 403, Message: "User is not authorized to perform ecr:PutImage because no identity-based policy allows it"}, content.ErrDenied},
		{Error{Method: "GET", Status: 404, Message: "vulnerability report not found"}, content.ErrNotFound},
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
		code, message := words(test.body, firstLine)
		if code != test.code || message != test.message {
			t.Errorf("%.60q: got %q %q, want %q %q", test.body, code, message, test.code, test.message)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add(`{"errors":[{"code":"A","message":"b","detail":"c"}]}`)
	f.Add("<html>\n<body>no</body>")
	f.Fuzz(func(t *testing.T, body string) {
		code, message := words(body, firstLine)
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
		{"https://h/" + strings.Repeat("x", 8000), "https://h/" + strings.Repeat("x", 990) + "…"},
	} {
		if got := new(Secrets).Redact(mustParse(t, test.url)); got != test.want {
			t.Errorf("redact %s: got %s, want %s", test.url, got, test.want)
		}
	}
}

// requestWith returns a request of a client that has sent secrets, among them those of an earlier request.
func requestWith(password, earlier string) *http.Request {
	secrets := &Secrets{}
	secrets.Sent(httptest.NewRequest(http.MethodPost, "https://h/token", nil), earlier)
	req := httptest.NewRequest(http.MethodGet, "https://h/v2/", nil)
	req.SetBasicAuth("user", password)
	secrets.Sent(req)
	return req.WithContext(secrets.Attach(req.Context()))
}

// If a server repeats a password, encoded in any usual way and also one of an earlier request, no text has it. A JSON
// string with escapes was printed, as was the form-encoded body of a request for a token.
func TestEchoedSecretIsScrubbed(t *testing.T) {
	const password, earlier = `pa"ss&w<o>rd\1 ü/+`, "hunter+22/%=&"
	req := requestWith(password, earlier)
	inJSON := func(text string) string {
		raw, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	basic := strings.Fields(req.Header.Get("Authorization"))[1]
	for name, echo := range map[string]string{
		"raw": password, "an earlier one": earlier, "Basic": "Basic " + basic, "Basic without padding": strings.TrimRight(basic, "="),
		"a form": "k=" + url.QueryEscape(password), "a form in lower case": strings.ToLower(url.QueryEscape(earlier)),
		"a path": "/x/" + url.PathEscape(password), "JSON": `{"errors":[{"code":` + inJSON(password) + `,"message":` + inJSON("bad "+password) + `}]}`,
		"JSON in escapes": `{"message":"\u0068\u0075nter+22/%=&"}`, "JSON in JSON": `{"message":` + inJSON(inJSON(password)) + `}`,
		"broken JSON": `{"message":` + inJSON(password), "HTML": "<p>" + html.EscapeString(password) + "</p>", "Go": strconv.Quote(password),
		"a detail": `{"errors":[{"code":"X","message":"m","detail":` + inJSON(earlier) + `}]}`, "beyond the cut": strings.Repeat("x", 290) + password,
	} {
		resp := &http.Response{StatusCode: http.StatusUnauthorized, Request: req, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(echo))}
		texts := []string{New(resp).Error(), Scrub(req, errors.New(echo)).Error()}
		for _, text := range texts[:1+strings.Count(name, "Go")+strings.Count(name, "a path")] {
			if !strings.Contains(text, "***") || strings.Contains(text, "pa") && strings.Contains(text, "rd") || strings.Contains(text, "nter") {
				t.Errorf("%s: a secret in %q", name, text)
			}
		}
	}
}

// The URL of an answer was logged with a password in its path.
func TestSecretInAnAddressIsScrubbed(t *testing.T) {
	req := requestWith("pa ss/word", "hunter22")
	u, err := Follow(req.URL, "https://hunter22.example/x/pa%20ss%2Fword")
	if err != nil {
		t.Fatal(err)
	}
	req.URL = u
	shown := NotRegistry(&http.Response{Request: req})
	if want := "https://***.example/x/***"; shown.URL != want || shown.Host != "***.example" {
		t.Errorf("got %s and %s, want %s", shown.Host, shown.URL, want)
	}
	if _, err := FollowAnswer(&http.Response{Request: req}, "ftp://hunter22/"); err == nil || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

// Tokens change, and the number of those that are remembered is bounded. A password that is used is not forgotten.
func TestSecretsAreBounded(t *testing.T) {
	secrets := &Secrets{}
	for n := range 10 * maxSecrets {
		secrets.Sent(httptest.NewRequest(http.MethodPost, "https://h/token", nil), "hunter22", fmt.Sprintf("token-%d", n))
	}
	if n := len(secrets.all()); n != maxSecrets {
		t.Errorf("%d secrets, want %d", n, maxSecrets)
	}
	if got := secrets.Hide("hunter22"); got != "***" {
		t.Errorf("got %s", got)
	}
}
