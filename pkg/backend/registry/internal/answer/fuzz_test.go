package answer

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// answered is an answer 206 with a header field and a body.
func answered(key, value, body string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusPartialContent, Header: http.Header{key: {value}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1,
		Request: httptest.NewRequest(http.MethodGet, "https://registry.example/v2/a/tags/list", nil),
	}
}

func FuzzOffset(f *testing.F) {
	for _, seed := range []string{"0-0", "0-9", "bytes=0-99", "1-2", "-", "0--1", "0-4611686018427387904", "0-9223372036854775807", "0-+5", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if offset, told := Offset(answered("Range", value, "")); told && offset < 2 || !told && offset != 0 {
			t.Errorf("%q: got %d, %v", value, offset, told)
		}
	})
}

func FuzzIsRange(f *testing.F) {
	f.Add("bytes 5-9/100", int64(5), int64(5), int64(100))
	f.Add("bytes 5-9/*", int64(5), int64(5), int64(100))
	f.Add("bytes 0-9223372036854775806/9223372036854775807", int64(0), int64(math.MaxInt64), int64(math.MaxInt64))
	f.Add("bytes */100", int64(0), int64(1), int64(100))
	f.Fuzz(func(t *testing.T, value string, offset, length, size int64) {
		if IsRange(answered("Content-Range", value, ""), offset, length, size) && !strings.HasPrefix(value, "bytes ") {
			t.Errorf("%q is taken for %d bytes from %d of %d", value, length, offset, size)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"1", "-1", "9223372036854775807", "1746136938", "1e9", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", ""} {
		f.Add(seed, 429)
	}
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string, status int) {
		for _, key := range []string{"Retry-After", "X-Retry-After", "X-Ratelimit-Reset"} {
			if wait := RetryAfter(status, http.Header{key: {value}}, now); wait < 0 {
				t.Errorf("%s: %q is a wait of %v", key, value, wait)
			}
		}
	})
}

func FuzzNextPage(f *testing.F) {
	for _, seed := range []string{
		`</v2/a/tags/list?last=x&n=1>; rel="next"`, `<x>`, `<>; rel=next`, `<a>; rel=prev, <b>; rel=NEXT`, `<a;rel="next"`, `<http://u:p@x/>;rel=next`,
		`<file:///etc/passwd>; rel=next`, `<//169.254.169.254/>`, `<http://registry.example/>; rel="next"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		resp := answered("Link", value, "")
		next, err := NextPage(resp)
		if err != nil || next == nil {
			return
		}
		if next.Scheme != "https" || next.User != nil || next.Hostname() == "" || CheckHostname(next.Hostname()) != nil {
			t.Errorf("%q leads to %s", value, next)
		}
	})
}

func FuzzReadNames(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","tags":["1","latest"]}`, `{"tags":null}`, `null`, `{"tags":[null,""]}`, `{"TAGS":["a"]}`, `{"tags":["a"`, `{"tags":[1]}`,
		`{"x":{"y":[{}]},"tags":[]}`, `[]`, `{} {}`, `{"tags":["a"],"tags":["b"]}`, "{\"tags\":[\"\\u0000\"]}", `{"tags":{"a":"b"}}`,
	} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, body string, most int) {
		pieces, err := ReadNames(answered("", "", body), 1<<16, "tags", most)
		n := 0
		for _, piece := range pieces {
			n += len(piece)
		}
		if n > max(most, 0)+1 || err != nil && pieces != nil {
			t.Errorf("%q: %d names, at most %d, and %v", body, n, most, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00")
	f.Add("x-gzip", "not gzip")
	f.Add("br", "x")
	f.Fuzz(func(t *testing.T, encoding, body string) {
		resp := answered("Content-Encoding", encoding, body)
		resp.StatusCode = http.StatusOK
		Decode(resp, 0)
		raw, err := Read(resp, 1<<16)
		if len(raw) > 1<<16 || err != nil && raw != nil {
			t.Errorf("%d bytes and %v", len(raw), err)
		}
	})
}

func FuzzMediaType(f *testing.F) {
	f.Add("application/json; charset=utf-8")
	f.Add("a/b; x=\"\r\n\"")
	f.Fuzz(func(t *testing.T, value string) {
		if got := MediaType(answered("Content-Type", value, "")); content.CheckMediaType(got) == nil && strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("%q is %q", value, got)
		}
	})
}
