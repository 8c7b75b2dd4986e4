package answer

import (
	"net/url"
	"strings"
)

// Redact returns u for messages: of its query only the values that are never secret. Signatures,
// tokens and the state of uploads stand in queries.
func Redact(u *url.URL) string {
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
	return shown.String()
}

func isPublic(key string) bool {
	switch key {
	case "digest", "mount", "from", "n", "last", "service", "scope", "artifactType", "page", "page_size":
		return true
	}
	return false
}

// shortSecret is the length in bytes from which a secret is replaced: shorter ones would be found in any text.
const shortSecret = 4

// scrub takes secrets out of a text that came from outside.
func scrub(text string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) >= shortSecret {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}
