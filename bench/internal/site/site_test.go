package site

import (
	"maps"
	"testing"
)

func TestAccessLog(t *testing.T) {
	const log = `127.0.0.1 - - [27/Nov/2026:19:00:00 +0000] "GET /v2/ HTTP/2.0" 200 2 "" "a client"` + "\n" +
		`time="2026-11-27" level=warning msg="says "something" else"` + "\n" +
		`127.0.0.1 - - [27/Nov/2026:19:00:01 +0000] "PUT /v2/a/blobs/uploads/1?digest=x HTTP/1.1" 201 0 "" ""` + "\n" +
		`127.0.0.1 - - [27/Nov/2026:19:00:02 +0000] "GET /v2/a/tags/list HTTP/1.1" 200 9 "" ""` + "\n"
	want := map[string]int{"GET": 2, "PUT": 1}
	for size := 1; size <= len(log); size++ {
		a := accessLog{requests: map[string]int{}}
		for from := 0; from < len(log); from += size {
			_, _ = a.Write([]byte(log[from:min(from+size, len(log))])) // has no errors
		}
		if got := a.take(); !maps.Equal(got, want) {
			t.Fatalf("written in pieces of %d bytes: %v, want %v", size, got, want)
		}
		if again := a.take(); len(again) > 0 {
			t.Fatalf("taken twice: %v", again)
		}
	}
}
