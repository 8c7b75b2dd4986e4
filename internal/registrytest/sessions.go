package registrytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// sessions implements the upload sessions that differ from those of distribution 3.1.
type sessions struct {
	settings settings
	tokens   *tokens
	core     http.Handler
	next     http.Handler

	mu     sync.Mutex
	broken map[string]bool   // paths of sessions whose body was cut
	first  map[string]string // the Range after the first chunk
	last   map[string][]byte // the body of the last PATCH
	size   map[string]int    // of the bodies of all PATCHes
}

func (s *sessions) serve(w http.ResponseWriter, r *http.Request, at route) {
	path, has := r.URL.Path, s.settings.has
	if at.name == "" {
		s.next.ServeHTTP(w, r)
		return
	}
	switch {
	case has(Status404AfterCut) && s.isBroken(path):
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_INVALID", "blob upload invalid")
		return
	case r.Method == http.MethodDelete && has(CancelRefused):
		s.refuseCancel(w, at)
		return
	}
	if has(ContentRangeIgnored) {
		r = r.Clone(r.Context())
		r.Header.Del("Content-Range")
	}
	if has(StatusNoLocation) && writes(r) {
		r = s.atNewest(r)
	}
	if has(LastPatchOnly) && r.Method != http.MethodDelete {
		if r = s.lastPatch(w, r); r == nil {
			return
		}
	}
	if r.Method == http.MethodPatch && has(Patch201) {
		w = createdAnswer{w}
	}
	s.body(&editedAnswer{ResponseWriter: w, edit: func(status int, h http.Header) { s.edit(r, status, h) }}, r)
}

// createdAnswer changes 202 to 201.
type createdAnswer struct{ http.ResponseWriter }

func (a createdAnswer) WriteHeader(status int) {
	if status == http.StatusAccepted {
		status = http.StatusCreated
	}
	a.ResponseWriter.WriteHeader(status)
}

// body serves a request, and if its body is cut, changes the session as the quirks say.
func (s *sessions) body(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		s.next.ServeHTTP(w, r)
		return
	}
	body := &watchedBody{ReadCloser: r.Body}
	r = r.Clone(r.Context())
	r.Body = body
	if s.settings.has(CutDropsChunk) {
		raw, err := io.ReadAll(body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
	}
	s.next.ServeHTTP(w, r)
	if !body.cut {
		return
	}
	s.mu.Lock()
	if s.broken == nil {
		s.broken = map[string]bool{}
	}
	s.broken[r.URL.Path] = true
	s.mu.Unlock()
	if s.settings.has(CutDeletesSession) {
		s.remove(r)
	}
}

// watchedBody records whether a body was cut.
type watchedBody struct {
	io.ReadCloser
	cut bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.cut = b.cut || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

func (s *sessions) isBroken(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken[path]
}

// edit changes the header of an answer about a session.
func (s *sessions) edit(r *http.Request, status int, h http.Header) {
	hasOffset := r.Method == http.MethodGet && status == http.StatusNoContent
	end, isRange := rangeEnd(h.Get("Range"))
	if s.settings.has(StatusNoLocation) && hasOffset {
		h.Del("Location")
	}
	if s.settings.has(StatusOffByOne) {
		if status == http.StatusRequestedRangeNotSatisfiable {
			end, isRange = s.end(r)
			hasOffset = true
		}
		if hasOffset && isRange && end > 0 { // "0-0" may mean an empty session
			end++
		}
		if hasOffset && isRange {
			h.Set("Range", fmt.Sprintf("bytes=0-%d", end))
		}
	}
	if s.settings.has(RangeStuck) && isRange && (hasOffset || r.Method == http.MethodPatch) {
		h.Set("Range", s.stuck(r.URL.Path, h.Get("Range"), r.Method == http.MethodPatch))
	}
}

// rangeEnd reads the last byte of "0-N".
func rangeEnd(header string) (end int64, is bool) {
	_, last, found := strings.Cut(header, "0-")
	end, err := strconv.ParseInt(last, 10, 64)
	return end, found && err == nil
}

// stuck returns the Range after a session's first chunk.
func (s *sessions) stuck(path, now string, chunk bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = map[string]string{}
	}
	if s.first[path] == "" && chunk {
		s.first[path] = now
	}
	if s.first[path] == "" {
		return now
	}
	return s.first[path]
}

// lastPatch answers a PATCH, whose body it keeps, and a status request after one. To the body of a PUT it prepends
// the last PATCH.
func (s *sessions) lastPatch(w http.ResponseWriter, r *http.Request) *http.Request {
	path := r.URL.Path
	if r.Method == http.MethodPatch {
		raw, _ := io.ReadAll(r.Body) // the bytes before a cut are kept
		s.mu.Lock()
		if s.last == nil {
			s.last, s.size = map[string][]byte{}, map[string]int{}
		}
		s.last[path] = raw
		s.size[path] += len(raw)
		s.mu.Unlock()
	}
	s.mu.Lock()
	last, size := s.last[path], s.size[path]
	s.mu.Unlock()
	if size == 0 {
		return r
	}
	if r.Method == http.MethodPut {
		r = r.Clone(r.Context())
		r.Header.Del("Content-Range")
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(last), r.Body), r.Body}
		r.ContentLength += int64(len(last))
		return r
	}
	w.Header().Set("Location", r.URL.RequestURI())
	w.Header().Set("Range", fmt.Sprintf("0-%d", size-1))
	status := http.StatusNoContent
	if r.Method == http.MethodPatch {
		status = http.StatusAccepted
	}
	w.WriteHeader(status)
	return nil
}

// status requests the status of the session of a request.
func (s *sessions) status(r *http.Request) *http.Response {
	get := r.Clone(r.Context())
	get.Method, get.Body, get.ContentLength = http.MethodGet, http.NoBody, 0
	return answerOf(s.core, get).Result()
}

// end returns the offset of the last byte that the session of a request has.
func (s *sessions) end(r *http.Request) (int64, bool) {
	return rangeEnd(s.status(r).Header.Get("Range"))
}

// atNewest returns a request to the newest Location of its session.
func (s *sessions) atNewest(r *http.Request) *http.Request {
	newest, err := url.Parse(s.status(r).Header.Get("Location"))
	if err != nil {
		return r
	}
	query := r.URL.Query()
	query.Set("state", newest.Query().Get("state"))
	r = r.Clone(r.Context())
	r.URL.RawQuery = query.Encode()
	return r
}

// remove deletes the session of a request.
func (s *sessions) remove(r *http.Request) {
	del := s.atNewest(r)
	del.Method, del.Body, del.ContentLength = http.MethodDelete, http.NoBody, 0
	answerOf(s.core, del)
}

func (s *sessions) refuseCancel(w http.ResponseWriter, at route) {
	if s.tokens.config != nil {
		s.tokens.challenge(w, access{at.repo: {"delete"}}, "insufficient_scope")
		return
	}
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}
