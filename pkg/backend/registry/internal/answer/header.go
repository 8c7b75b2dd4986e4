package answer

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RetryAfter returns how long to wait: the longer of Retry-After (RFC 9110, 10.2.3) and Docker Hub's X-Retry-After,
// or, for a 429 that has neither, until X-RateLimit-Reset.
func RetryAfter(status int, header http.Header, now time.Time) time.Duration {
	wait := max(waitOf(header.Get("Retry-After"), now), waitOf(header.Get("X-Retry-After"), now))
	if wait == 0 && status == http.StatusTooManyRequests {
		return waitOf(header.Get("X-RateLimit-Reset"), now)
	}
	return wait
}

// waitOf parses seconds, a Unix time or a date. It returns zero for anything else and for times in the past.
func waitOf(value string, now time.Time) time.Duration {
	const unix = 1_000_000_000 // larger numbers are Unix times, not waits of 30 years
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

// Quota is what Docker Hub's headers state about the pulls of an account ("Usage and limits", "View pull rate and
// limit").
type Quota struct {
	// Remaining is negative, and Window zero, if it is not stated.
	Remaining int
	Window    time.Duration
}

// QuotaOf returns the quota that an answer states; nil if none. Other registries use headers of these names for a limit
// on requests (draft-ietf-httpapi-ratelimit-headers), without a window. A 429 is about the quota if it states a window
// and that no pulls remain, or names only whose quota it is.
func QuotaOf(resp *http.Response) *Quota {
	h := resp.Header
	q := &Quota{Remaining: -1}
	remaining, window, _ := strings.Cut(h.Get("Ratelimit-Remaining"), ";")
	if window == "" {
		_, window, _ = strings.Cut(h.Get("Ratelimit-Limit"), ";")
	}
	if n, err := strconv.Atoi(strings.TrimSpace(remaining)); err == nil {
		q.Remaining = max(0, n)
	}
	if seconds, found := strings.CutPrefix(strings.TrimSpace(window), "w="); found {
		if n, err := strconv.ParseInt(seconds, 10, 32); err == nil && n > 0 {
			q.Window = time.Duration(n) * time.Second
		}
	}
	refused := resp.StatusCode == http.StatusTooManyRequests
	named := refused && h.Get("Docker-Ratelimit-Source") != ""
	if q.Window == 0 && !named || refused && q.Remaining > 0 {
		return nil
	}
	return q
}

// Offset returns the number of bytes that a registry has of an upload, from the Range "0-N", N included ("Pushing a
// Blob in Chunks", OCI distribution specification). It is unknown if there is no such header, and for 0-0, which
// means one byte or none.
func Offset(resp *http.Response) (offset int64, known bool) {
	last, found := strings.CutPrefix(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "0-")
	n, err := strconv.ParseInt(last, 10, 62)
	if !found || err != nil || n <= 0 {
		return 0, false
	}
	return n + 1, true
}

// IsRange reports whether resp has exactly length bytes from offset of a content of size bytes.
func IsRange(resp *http.Response, offset, length, size int64) bool {
	got, part := resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/", offset, offset+length-1)
	return resp.StatusCode == http.StatusPartialContent && (got == part+"*" || got == part+strconv.FormatInt(size, 10)) &&
		(resp.ContentLength < 0 || resp.ContentLength == length)
}

// NextPage returns the Link of relation "next" (RFC 8288), or nil.
func NextPage(resp *http.Response) (*url.URL, error) {
	for _, header := range resp.Header.Values("Link") {
		if target := nextLink(header); target != "" {
			return FollowAnswer(resp, target)
		}
	}
	return nil, nil
}

// nextLink returns the target of the relation "next" in a Link header. A target without a relation counts too: a
// listing has no other links.
func nextLink(header string) string {
	for header != "" {
		_, rest, found := strings.Cut(header, "<")
		if !found {
			return ""
		}
		target, rest, found := strings.Cut(rest, ">")
		if !found {
			return ""
		}
		params := rest
		if another := strings.Index(rest, "<"); another >= 0 {
			params = rest[:another]
		}
		if rel := relation(params); rel == "" || strings.EqualFold(rel, "next") {
			return target
		}
		header = rest
	}
	return ""
}

func relation(params string) string {
	for param := range strings.FieldsFuncSeq(params, func(r rune) bool { return r == ';' || r == ',' }) {
		key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(strings.TrimSpace(key), "rel") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
