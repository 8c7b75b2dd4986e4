package answer

import (
	"cmp"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	// shortSecret is the length in bytes from which a secret is replaced: shorter ones would be found in any text.
	shortSecret = 4
	// maxSecrets bounds how many secrets are remembered. Tokens are replaced by new ones, and passwords are few.
	maxSecrets = 128
	// maxShown bounds a URL in a message, and maxText the text of an error that quotes an answer, in bytes.
	maxShown = 1000
	maxText  = 2000
)

// Secrets are the secrets that were sent in requests to a registry and its token server. Any later answer may repeat
// any of them, so all text that is derived from an answer is printed without them. The zero value is empty.
type Secrets struct {
	mu     sync.Mutex
	recent []string // the last one was sent last
}

// Sent adds the secrets in a request: its Authorization, and those in its body.
func (s *Secrets) Sent(req *http.Request, body ...string) {
	_, credentials, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	_, password, _ := req.BasicAuth()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range append([]string{credentials, strings.TrimRight(credentials, "="), password}, body...) {
		if len(secret) < shortSecret {
			continue
		}
		if i := slices.Index(s.recent, secret); i >= 0 {
			s.recent = slices.Delete(s.recent, i, i+1)
		}
		s.recent = append(s.recent, secret)
	}
	if extra := len(s.recent) - maxSecrets; extra > 0 {
		s.recent = slices.Delete(s.recent, 0, extra)
	}
}

// secretsKey is the key of a request's Secrets in its context.
type secretsKey struct{}

// Attach returns the context of a request whose answer is printed without s. All that net/http returns with an answer
// is an *http.Request, and only its context can carry s.
func (s *Secrets) Attach(ctx context.Context) context.Context {
	return context.WithValue(ctx, secretsKey{}, s)
}

// Hide returns a text from outside without s.
func (s *Secrets) Hide(text string) string { return hide(text, s.all()) }

// Redact returns u for messages: without s, without the values of its query that may be secret, and shortened.
func (s *Secrets) Redact(u *url.URL) string { return redact(u, s.all()) }

// Scrub returns an error without s, and shortened.
func (s *Secrets) Scrub(err error) error { return scrub(err, s.all()) }

func (s *Secrets) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.recent)
}

// secretsOf returns the secrets that an answer to req may repeat: those that were sent, and the values of the query that
// may be secret, encoded and decoded, since object stores quote signatures.
func secretsOf(req *http.Request) (secrets []string) {
	for pair := range strings.SplitSeq(req.URL.RawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if isPublic(key) {
			continue
		}
		secrets = append(secrets, value)
		if decoded, err := url.QueryUnescape(value); err == nil {
			secrets = append(secrets, decoded)
		}
	}
	if s, attached := req.Context().Value(secretsKey{}).(*Secrets); attached {
		secrets = append(secrets, s.all()...)
	}
	return secrets
}

// Host returns the host that answered, for messages.
func Host(resp *http.Response) string { return hide(resp.Request.URL.Host, secretsOf(resp.Request)) }

// redact keeps of the query only the values that are never secret: signatures, tokens and the state of uploads stand
// in queries.
func redact(u *url.URL, secrets []string) string {
	var query strings.Builder
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if pair == "" {
			continue
		}
		if query.Len() > 0 {
			query.WriteByte('&')
		}
		key, value, found := strings.Cut(pair, "=")
		query.WriteString(key)
		if found && !isPublic(key) {
			value = "***"
		}
		if found {
			query.WriteString("=" + value)
		}
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: query.String()}
	return cut(hide(shown.String(), secrets), maxShown)
}

func isPublic(key string) bool {
	switch key {
	case "digest", "mount", "from", "n", "last", "service", "scope", "artifactType", "page", "page_size":
		return true
	}
	return false
}

// Scrub returns an error of a request without the secrets that the server may have repeated, and shortened: errors
// quote header fields, and those of net/http quote malformed answers.
func Scrub(req *http.Request, err error) error { return scrub(err, secretsOf(req)) }

func scrub(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	text := cut(hide(err.Error(), secrets), maxText)
	if text == err.Error() {
		return err
	}
	return &scrubbed{err, text}
}

type scrubbed struct {
	err  error
	text string
}

func (e *scrubbed) Error() string { return e.text }
func (e *scrubbed) Unwrap() error { return e.err }

// hide replaces secrets in a text, in all their forms.
func hide(text string, secrets []string) string {
	var found []string
	for _, secret := range secrets {
		if len(secret) >= shortSecret && len(secret) <= len(text) {
			found = append(found, forms(secret)...)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // one may contain another
	for _, form := range found {
		text = strings.ReplaceAll(text, form, "***")
	}
	return text
}

// forms returns a secret as servers and errors repeat it: as it is, and as in a query, a path, JSON, HTML, a Go string
// and URL-safe base64.
func forms(secret string) []string {
	encoded, _ := json.Marshal(secret) // every string has a JSON form
	inJSON, inGo := unquoted(string(encoded)), unquoted(strconv.Quote(secret))
	query, path := url.QueryEscape(secret), url.PathEscape(secret)
	all := []string{
		secret, query, lowerHex(query), path, lowerHex(path), inGo, inJSON,
		strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(inJSON), // most encoders leave these
		html.EscapeString(secret), strings.NewReplacer("+", "-", "/", "_").Replace(secret),
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// lowerHex returns a text in which the digits of percent encoding are in lower case.
func lowerHex(escaped string) string {
	parts := strings.Split(escaped, "%")
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToLower(parts[i][:2]) + parts[i][2:]
	}
	return strings.Join(parts, "%")
}

// cut shortens a text to most bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
