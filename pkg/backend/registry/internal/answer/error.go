// Package answer reads the answers of servers: refusals, headers, bounded documents, and the addresses that an
// answer names. Everything in an answer is untrusted input.
//
// Start at [New], which reads a refusal, [Follow], which checks every address in an answer, and [Secrets], which a
// server may repeat. The package sends nothing. It guarantees that no error contains a secret, that text from a server
// is one short line without control characters, and that no document is read beyond its limit.
package answer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

const (
	// maxRefusal bounds how much of a refusal is read, and maxMessage how much of it is printed, in bytes.
	maxRefusal = 64 << 10
	maxMessage = 300
)

// Error is a refusal by a registry or its token server, as package registry exports it. It contains no secret.
type Error struct {
	Method string
	// Host is the host that answered: the registry, its token server or a storage server.
	Host string
	// URL has no values that may be secret.
	URL    string
	Status int
	// Code is the registry's error code, such as "DENIED"; empty if it sent none.
	Code string
	// Message is the registry's message, on one line; empty if it sent none.
	Message string
	// Wait is the time to wait before another attempt; zero if the registry did not state one.
	Wait time.Duration
	// Limit is what a 429 is about; empty for other answers.
	Limit Limit

	foreign bool
	expired bool
}

// Limit is a limit that a 429 answer refers to.
type Limit string

// The limits of Docker Hub ("Usage and limits"). Other registries have only LimitRequests.
const (
	LimitPulls    Limit = "pulls"    // the pull quota of the account
	LimitRequests Limit = "requests" // requests of any kind, from one address
	LimitAPI      Limit = "api"      // requests to Docker Hub's API, which is not the registry's
)

// New reads the refusal in resp. It does not close the body. The server may repeat what it was sent, encoded or not.
func New(resp *http.Response) *Error {
	req := resp.Request
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	secrets := secretsOf(req)
	code, message := words(string(raw), func(said string) string { return firstLine(hide(said, secrets)) })
	return &Error{
		Method: req.Method, Host: hide(req.URL.Host, secrets), URL: redact(req.URL, secrets),
		Status: resp.StatusCode, Code: code, Message: message,
		Wait: RetryAfter(resp.StatusCode, resp.Header, time.Now()),
	}
}

// MarkForeign marks the refusal as one by a host other than the registry and its token server, so that it says
// nothing about an account.
func MarkForeign(e *Error) { e.foreign = true }

// IsForeign reports whether [MarkForeign] was called.
func IsForeign(e *Error) bool { return e.foreign }

// MarkExpired records that a 401 answered a body whose token expired while the body was sent: another attempt gets a
// new token.
func MarkExpired(e *Error) { e.expired = e.Status == http.StatusUnauthorized && e.Code != "DENIED" }

// Error does not name the request, whose URL is in the log of requests.
func (e *Error) Error() string { return e.Host + ": " + e.Reason() }

// RegistryHost returns Host. It and the methods below are for [content.AnswerOf].
func (e *Error) RegistryHost() string { return e.Host }

// RequestURL returns URL.
func (e *Error) RequestURL() string { return e.URL }

// Reason returns status, code and message.
func (e *Error) Reason() string {
	said := []string{fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)), e.Code, e.Message}
	return strings.Join(slices.DeleteFunc(said, func(s string) bool { return s == "" }), ": ")
}

// HTTPStatus returns the status that says whether another attempt makes sense.
func (e *Error) HTTPStatus() int {
	if e.expired {
		return http.StatusRequestTimeout
	}
	return e.Status
}

// ErrorCode returns Code.
func (e *Error) ErrorCode() string { return e.Code }

// RetryAfter returns how long the registry asks clients to wait, or zero if it does not say.
func (e *Error) RetryAfter() time.Duration { return e.Wait }

// Is maps status and code to the errors that callers test for.
func (e *Error) Is(target error) bool {
	switch target {
	case content.ErrNotFound:
		return e.Status == http.StatusNotFound || e.Status == http.StatusGone || e.Code == "BLOB_UPLOAD_UNKNOWN"
	case content.ErrUnauthorized:
		return e.Status == http.StatusUnauthorized && e.Code != "DENIED" && !e.foreign && !e.expired
	case content.ErrDenied:
		return !e.foreign && !e.expired && e.reason() == nil &&
			(e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized && e.Code == "DENIED")
	case content.ErrQuota, content.ErrImmutable, content.ErrPolicy:
		return e.reason() == target
	case content.ErrUnsupported:
		return e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented || e.Code == "UNSUPPORTED"
	case content.ErrMismatch:
		return e.Code == "DIGEST_INVALID" || e.Code == "SIZE_INVALID"
	}
	return false
}

// reasons are what a refusal may be about other than the account. Registries state it in a code or only in their message.
var reasons = []struct {
	err      error
	methods  []string // all if empty
	statuses []int
	stated   *regexp.Regexp // in code and message
}{
	{
		content.ErrQuota, []string{http.MethodPost, http.MethodPatch, http.MethodPut},
		[]int{
			http.StatusBadRequest, http.StatusForbidden, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge,
			http.StatusInsufficientStorage,
		}, statesQuota,
	},
	{
		content.ErrImmutable, []string{http.MethodPut, http.MethodDelete},
		[]int{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusPreconditionFailed}, statesImmutable,
	},
	{
		content.ErrPolicy, nil,
		[]int{http.StatusBadRequest, http.StatusForbidden, http.StatusPreconditionFailed}, statesPolicy,
	},
}

// reason returns the error of what the refusal is about, if that is one of reasons; otherwise nil.
func (e *Error) reason() error {
	for _, r := range reasons {
		if !e.foreign && slices.Contains(r.statuses, e.Status) && (r.methods == nil || slices.Contains(r.methods, e.Method)) &&
			r.stated.MatchString(e.Code+": "+e.Message) {
			return r.err
		}
	}
	return nil
}

// statesImmutable finds a tag that may not be moved: "Failed to process request due to 'app:v1' configured as immutable." (Harbor,
// with 412), "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the repository is
// immutable." (ECR, with 400 and a code), "tag v1 is immutable" (Quay).
var statesImmutable = regexp.MustCompile(
	`(?i)\b(is|are|as) immutable\b|\bimmutable tag|tag_?immutable|imagetagalreadyexists|cannot be overwritten`)

// statesPolicy finds an image that a policy refuses: "current image with 5 vulnerabilities cannot be pulled due to configured policy
// in 'Prevent images with vulnerability severity of "High" or higher from running.'" (Harbor, with 412 and PROJECTPOLICYVIOLATION).
// A policy alone says nothing: "no identity-based policy allows the ecr:PutImage action" (ECR) is about the account.
var statesPolicy = regexp.MustCompile(
	`(?i)projectpolicyviolation|vulnerabilit|prevented by (a |the )?([a-z]+ )?polic|current image .*cannot be (pulled|deployed|pushed)|due to configured policy`)

// statesQuota finds a storage quota that is used up, which registries state only in their message: "adding 2.1 MiB of storage
// resource, which when updated to current usage of 8.3 MiB will exceed the configured upper limit of 10.0 MiB" and "Quota exceeded
// when processing the request of …" (Harbor, with 400, 403 or 412), "Quota has been exceeded on namespace" (Quay, with 403).
var statesQuota = regexp.MustCompile(`(?i)\bquota (has been |is |was )?exceeded|exceed(ed|s)? (the|your) [a-z ]*(quota|configured upper limit)`)

// Status returns the status of the [*Error] in err, or 0.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// Code returns the code of the [*Error] in err, or "".
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// IsRefusal reports whether err refuses a credential, or access with it.
func IsRefusal(err error) bool {
	return errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrDenied)
}

// words returns the code and message of a refusal by a registry (OCI distribution specification, "Error Codes"), by
// Docker Hub's token server, by an OAuth2 server, or by a proxy in front of them. shown prepares what is printed of a
// decoded text.
func words(text string, shown func(string) string) (code, message string) {
	var refusal struct {
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
	if json.Unmarshal([]byte(text), &refusal) != nil {
		return "", shown(text)
	}
	if len(refusal.Errors) == 0 {
		for _, said := range []string{refusal.Description, refusal.Details, refusal.Message, refusal.Error} {
			if said != "" {
				return "", shown(said)
			}
		}
		return "", ""
	}
	first := refusal.Errors[0]
	var detail string
	if json.Unmarshal(first.Detail, &detail) == nil && detail != "" && detail != first.Message {
		return shown(first.Code), shown(strings.TrimPrefix(first.Message+": "+detail, ": "))
	}
	return shown(first.Code), shown(first.Message)
}

// firstLine returns the first non-empty line of a server's text, shortened and without control characters.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
		if line == "" {
			continue
		}
		return strings.ToValidUTF8(cut(line, maxMessage), "?")
	}
	return ""
}
