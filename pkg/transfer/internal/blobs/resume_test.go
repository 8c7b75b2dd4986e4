package blobs

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
)

// A registry that loses uploads again and again is one that does not keep them; one that loses several at
// once was restarted.
func TestLostUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(t.Context(), Options{Limiter: limit.New(limit.Options{}), Observer: &failureLog{}})
		r := &registry{name: "a.example"}
		c := continuation{q, &want{item: &item{registry: r}}}
		for range 5 {
			c.noteCut(false)
		}
		if r.cut.verdict != unknown {
			t.Errorf("lost at once: %v, want unknown", r.cut.verdict)
		}
		time.Sleep(2 * lostApart)
		c.noteCut(true)
		c.noteCut(false)
		if r.cut.verdict != yes {
			t.Errorf("kept in between: %v, want yes", r.cut.verdict)
		}
		time.Sleep(2 * lostApart)
		c.noteCut(false)
		if r.cut.verdict != no || !r.lostReported {
			t.Errorf("lost twice: %v, reported %v, want no", r.cut.verdict, r.lostReported)
		}
	})
}

// pile counts the records that are open.
type pile struct{ open int }

func (p *pile) OpenUpload(string, digest.Digest) Record { p.open++; return p }
func (p *pile) Saved() (string, []byte, bool)           { return "", nil, false }
func (p *pile) Save(string, []byte)                     {}
func (p *pile) Forget()                                 { p.open-- }
func (p *pile) Release()                                { p.open-- }

// However many uploads break, so many of them are kept and no more.
func TestKeptUploadsAreBounded(t *testing.T) {
	records := &pile{}
	q := New(t.Context(), Options{Limiter: limit.New(limit.Options{}), Observer: &failureLog{}, Uploads: records})
	target := contenttest.NewMemory("a.example").Repository("app")
	blob := contenttest.NewLayer("kept", recordedFrom)
	var wants []continuation
	kept := 0
	for range 2 * maxKept {
		c := continuation{q, &want{place: Place{Target: target}, item: &item{blob: blob.Descriptor, registry: &registry{}}}}
		wants = append(wants, c)
		upload, err := target.StartUpload(t.Context(), blob.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		s := &sending{upload: upload, stream: content.NewStream(strings.NewReader(string(blob.Bytes)), blob.Descriptor)}
		if _, err := io.CopyN(io.Discard, s.stream, progressBytes); err != nil {
			t.Fatal(err)
		}
		c.openRecord()
		if c.keep(t.Context(), s, c.want.failure(io.ErrUnexpectedEOF)) {
			kept++
		}
	}
	if kept != maxKept || records.open != maxRecords {
		t.Errorf("%d uploads are kept with %d records, want %d and %d", kept, records.open, maxKept, maxRecords)
	}
	q.lock()
	for _, c := range wants {
		c.abandon()
	}
	q.unlock()
	q.Close()
	if q.kept != 0 || q.records != 0 || records.open != 0 {
		t.Errorf("%d uploads, %d and %d records are left", q.kept, q.records, records.open)
	}
}

// An upload is kept for the next attempt if asking for its offset is likely to save bytes.
func TestWhichUploadsAreKept(t *testing.T) {
	for _, test := range []struct {
		name string
		sent int64
		err  error
		want bool
	}{
		{"cut early", keptFrom - 1, io.ErrUnexpectedEOF, false},
		{"cut", keptFrom, io.ErrUnexpectedEOF, true},
		{"cut behind a gateway", keptFrom, answer(http.StatusBadGateway), true},
		{"refused for now", progressBytes - 1, answer(http.StatusServiceUnavailable), false},
		{"too many requests", progressBytes - 1, answer(http.StatusTooManyRequests), false},
		{"refused for now, large", progressBytes, answer(http.StatusServiceUnavailable), true},
		{"refused for good", progressBytes, answer(http.StatusForbidden), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := New(t.Context(), Options{Limiter: limit.New(limit.Options{}), Observer: &failureLog{}})
			target := contenttest.NewMemory("a.example").Repository("app")
			blob := contenttest.NewLayer("kept", progressBytes)
			upload, err := target.StartUpload(t.Context(), blob.Descriptor)
			if err != nil {
				t.Fatal(err)
			}
			s := &sending{upload: upload, stream: content.NewStream(bytes.NewReader(blob.Bytes), blob.Descriptor)}
			if _, err := io.CopyN(io.Discard, s.stream, test.sent); err != nil {
				t.Fatal(err)
			}
			c := continuation{q, &want{place: Place{Target: target}, item: &item{blob: blob.Descriptor, registry: &registry{}}}}
			if got := c.keep(t.Context(), s, c.want.failure(test.err)); got != test.want {
				t.Errorf("kept: %v, want %v", got, test.want)
			}
		})
	}
}
