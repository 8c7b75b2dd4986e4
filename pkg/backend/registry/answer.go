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
		Wait: retryAfter(resp.StatusCode, resp.Header, time.Now()),
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

// retryAfter is how long to wait: by Retry-After (RFC 9110, 10.2.3) or Docker Hub's
// X-Retry-After, the longer of both; with a 429 that has neither by X-RateLimit-Reset.
func retryAfter(status int, header http.Header, now time.Time) time.Duration {
	wait := max(waitOf(header.Get("Retry-After"), now), waitOf(header.Get("X-Retry-After"), now))
	if wait == 0 && status == http.StatusTooManyRequests {
		return waitOf(header.Get("X-RateLimit-Reset"), now)
	}
	return wait
}

// waitOf reads seconds, a Unix time or a date; zero if it is none, or past.
func waitOf(value string, now time.Time) time.Duration {
	const unix = 1_000_000_000 // seconds: what is above is no wait of 30 years
	n, err := strconv.ParseInt(value, 10, 64)
	switch date, noDate := http.ParseTime(value); {
	case err == nil && n > unix:
		return max(0, time.Unix(min(n, 1<<40), 0).Sub(now))
	case err == nil:
		return max(0, time.Duration(n)*time.Second)
	case noDate == nil:
		return max(0, date.Sub(now))
	}
	return 0
}
