package registry

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWords bounds what is read of a refusal, in bytes.
const maxWords = 64 << 10

// newError reads a refusal. It does not close the body. Secrets are those that the request
// held besides its Authorization, lest the words repeat them.
func newError(resp *http.Response, secrets ...string) *Error {
	req := resp.Request
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxWords))
	code, message := words(scrub(string(raw), append(secrets, sentSecrets(req)...)))
	return &Error{
		Method: req.Method, URL: redact(req.URL), Status: resp.StatusCode, Code: code, Message: message,
		Wait: retryAfter(resp.Header, time.Now()),
	}
}

// sentSecrets are those of a request's Authorization, as it is and as it is meant.
func sentSecrets(req *http.Request) []string {
	_, credentials, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	_, password, _ := req.BasicAuth()
	return []string{credentials, password}
}

// words reads the refusals of registries (OCI distribution specification, "Error Codes"),
// of Docker Hub's token server, of OAuth2's, and of whatever stands in front of them.
func words(text string) (code, message string) {
	var answer struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		} `json:"errors"`
		Details     string `json:"details"`
		Message     string `json:"message"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal([]byte(text), &answer) != nil {
		return "", firstLine(text)
	}
	if len(answer.Errors) == 0 {
		for _, said := range []string{answer.Description, answer.Details, answer.Message, answer.Error} {
			if said != "" {
				return "", firstLine(said)
			}
		}
		return "", ""
	}
	first := answer.Errors[0]
	var detail string
	if json.Unmarshal(first.Detail, &detail) == nil && detail != "" && detail != first.Message {
		return firstLine(first.Code), firstLine(strings.TrimPrefix(first.Message+": "+detail, ": "))
	}
	return firstLine(first.Code), firstLine(first.Message)
}

// retryAfter is how long to wait: Retry-After in seconds or as a date (RFC 9110, 10.2.3),
// or Docker Hub's X-Retry-After, which is a Unix time.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if unix, err := strconv.ParseInt(header.Get("X-Retry-After"), 10, 64); err == nil && unix > 0 {
		return max(0, time.Unix(unix, 0).Sub(now))
	}
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
