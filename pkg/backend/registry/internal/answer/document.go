package answer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/regsync/regsync/pkg/content"
)

// Read reads a whole document of at most limit bytes.
func Read(resp *http.Response, limit int64) ([]byte, error) {
	tooLarge := func() error {
		return fmt.Errorf("%s: %w: more than %d bytes", Host(resp), content.ErrInvalid, limit)
	}
	if resp.ContentLength > limit {
		return nil, tooLarge()
	}
	raw, err := readAll(resp, limit+1)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Host(resp), err)
	}
	if int64(len(raw)) > limit {
		return nil, tooLarge()
	}
	return raw, nil
}

// readAll reads at most limit bytes, into memory that is no larger than they are if their number is stated.
func readAll(resp *http.Response, limit int64) ([]byte, error) {
	if size := resp.ContentLength; size >= 0 && size <= limit {
		raw := make([]byte, size)
		_, err := io.ReadFull(resp.Body, raw)
		if err == io.EOF && size > 0 {
			err = io.ErrUnexpectedEOF
		}
		return raw, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, limit))
}

// ReadJSON reads a document of at most limit bytes, and of as many values as [content.CheckJSON] allows, into v.
func ReadJSON(resp *http.Response, limit int64, v any) error {
	raw, err := Read(resp, limit)
	if err != nil {
		return err
	}
	if err = content.CheckJSON(raw); err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		// A document that ends early was truncated, as by a proxy that omits Content-Length.
		if cut := json.NewDecoder(bytes.NewReader(raw)).Decode(new(json.RawMessage)); errors.Is(cut, io.ErrUnexpectedEOF) {
			err = cut
		}
		return fmt.Errorf("%s: %w", Host(resp), BrokenOrInvalid(err))
	}
	return nil
}

// Discard closes an answer. If little of it is left, its connection can be used again.
func Discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10)
	_ = resp.Body.Close()
}

// Detach reads the text of a refusal into memory and frees its connection.
func Detach(resp *http.Response) {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(raw))
}

// MediaType returns the media type of an answer without its parameters, or "" if there is none.
func MediaType(resp *http.Response) string {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // wrong parameters do not matter
	return mediaType
}

// NotRegistryError reports an answer that no registry gives, as package registry exports it.
type NotRegistryError struct {
	Host, URL string // of the request; the URL has no values that may be secret
	MediaType string // of the answer; empty if it has none
	Problem   string // what else is wrong with the answer; may be empty
}

func (e *NotRegistryError) Error() string {
	text := e.Host + " did not respond like a registry"
	switch {
	case e.Problem != "":
		text += ": " + e.Problem
	case e.MediaType != "":
		text += ": " + e.MediaType
	}
	return text
}

// RegistryHost returns Host. It and the next two methods are for [content.AnswerOf].
func (e *NotRegistryError) RegistryHost() string { return e.Host }

// RequestURL returns URL.
func (e *NotRegistryError) RequestURL() string { return e.URL }

// Reason is the same for all requests that get such an answer.
func (e *NotRegistryError) Reason() string { return "did not respond like a registry" }

// Unwrap returns [content.ErrInvalid].
func (e *NotRegistryError) Unwrap() error { return content.ErrInvalid }

// NotRegistry returns the error for an answer that does not come from a registry.
func NotRegistry(resp *http.Response) *NotRegistryError {
	secrets := secretsOf(resp.Request)
	return &NotRegistryError{
		Host: Host(resp), URL: redact(resp.Request.URL, secrets), MediaType: cut(hide(MediaType(resp), secrets), maxMessage),
	}
}

// IsWebPage reports whether an answer is HTML.
func IsWebPage(resp *http.Response) bool {
	mediaType := MediaType(resp)
	return mediaType == "text/html" || mediaType == "application/xhtml+xml"
}

// CheckDocument refuses a web page where a document of the API should be.
func CheckDocument(resp *http.Response) error {
	if IsWebPage(resp) {
		return NotRegistry(resp)
	}
	return nil
}

// CheckBase refuses an answer for /v2/ that does not come from a registry. A registry's answer has the header of
// distribution, a JSON body, or no body. Quay labels its answer text/html.
func CheckBase(resp *http.Response) error {
	if resp.Header.Get("Docker-Distribution-Api-Version") != "" {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return err
	}
	if json.Valid(raw) || len(raw) == 0 && !IsWebPage(resp) {
		return nil
	}
	return NotRegistry(resp)
}

// BrokenOrInvalid separates errors of decoding a document from errors of its connection: it makes a decoding error a
// [content.ErrInvalid].
func BrokenOrInvalid(err error) error {
	if _, broken := errors.AsType[interface {
		error
		Timeout() bool
	}](err); broken || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("%w: %w", content.ErrInvalid, err)
}

// Decode decompresses an answer. Some proxies compress answers, whatever Accept-Encoding says. size is the size of
// the requested blob, or zero. An answer of that size is the blob itself: object stores state the encoding of a
// stored blob.
func Decode(resp *http.Response, size int64) {
	encoding := strings.ToLower(resp.Header.Get("Content-Encoding"))
	compressed := encoding == "gzip" || encoding == "x-gzip"
	if !compressed || resp.StatusCode == http.StatusPartialContent || size > 0 && resp.ContentLength == size {
		return
	}
	resp.ContentLength = -1
	if resp.Request.Method != http.MethodHead {
		resp.Body = &gunzipped{compressed: resp.Body}
	}
}

// gunzipped is a body that is decompressed as it is read.
type gunzipped struct {
	compressed io.ReadCloser
	reader     *gzip.Reader // nil before the first Read
	err        error        // of reading the gzip header
}

func (g *gunzipped) Read(p []byte) (int, error) {
	if g.reader == nil && g.err == nil {
		g.reader, g.err = gzip.NewReader(g.compressed)
	}
	if g.err != nil {
		return 0, corrupted(g.err)
	}
	n, err := g.reader.Read(p)
	return n, corrupted(err)
}

func (g *gunzipped) Close() error { return g.compressed.Close() }

// corrupted turns a decompression error into that of a truncated body, which is retried.
func corrupted(err error) error {
	if err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) { //nolint:errorlint // the end of the body
		return err
	}
	return fmt.Errorf("decompress the response: %w: %w", io.ErrUnexpectedEOF, err)
}

const (
	// maxValue bounds one value of a page that is decoded as it arrives, in bytes.
	maxValue = 1 << 20
	// maxSkipped bounds the values of a page that are not names.
	maxSkipped = 100_000
)

// ReadNames reads a page of a listing of at most limit bytes: a document whose member has an array of names. null is
// the empty name. The page is decoded as it arrives, so that only its names take memory; what follows the
// first most+1 names is not read. The names are in pieces, because a slice that grows would be copied.
func ReadNames(resp *http.Response, limit int64, member string, most int) (pieces [][]string, err error) {
	r := &pageReader{body: resp.Body, left: limit}
	p := &page{decoder: json.NewDecoder(r), reader: r, most: most}
	if err := p.read(member); err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("%s: %w", Host(resp), BrokenOrInvalid(err))
	}
	return p.pieces, nil
}

// pieceOf is how many names a piece has.
const pieceOf = 4096

var errEnough = errors.New("enough names")

// page is a page of a listing that is being read.
type page struct {
	decoder *json.Decoder
	reader  *pageReader
	most    int
	names   int
	pieces  [][]string
	skipped int
}

// token returns the next token of the document, which must not end here.
func (p *page) token() (json.Token, error) {
	p.reader.value = 0
	t, err := p.decoder.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}

func (p *page) read(member string) error {
	t, err := p.token()
	if err != nil || t == nil { // null has no names
		return err
	}
	if t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for p.decoder.More() {
		key, err := p.token()
		if err != nil {
			return err
		}
		if name, _ := key.(string); strings.EqualFold(name, member) {
			err = p.readNames(member)
		} else {
			err = p.skip()
		}
		if err != nil {
			return err
		}
	}
	if _, err := p.token(); err != nil { // the closing brace
		return err
	}
	switch _, err := p.decoder.Token(); {
	case err == io.EOF:
		return nil
	case err != nil: // the body may break after the page, in its trailer
		return err
	}
	return errors.New("unexpected data after the JSON object")
}

func (p *page) readNames(member string) error {
	t, err := p.token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return fmt.Errorf("%q is not an array", member)
	}
	var name string // one for all: a Token would be one more allocation
	for p.decoder.More() {
		p.reader.value, name = 0, ""
		if err := p.decoder.Decode(&name); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if p.names%pieceOf == 0 {
			p.pieces = append(p.pieces, make([]string, 0, min(pieceOf, p.names+64)))
		}
		last := &p.pieces[len(p.pieces)-1]
		*last = append(*last, name)
		if p.names++; p.names > p.most {
			return errEnough
		}
	}
	_, err = p.token()
	return err
}

// skip skips a value.
func (p *page) skip() error {
	for depth := 0; ; {
		t, err := p.token()
		if err != nil {
			return err
		}
		if p.skipped++; p.skipped > maxSkipped {
			return fmt.Errorf("more than %d values that are not names", maxSkipped)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// pageReader fails if the page or one of its values is too large.
type pageReader struct {
	body  io.Reader
	left  int64 // bytes
	value int64 // bytes of the value that is being read, and of some that follow
}

func (r *pageReader) Read(p []byte) (int, error) {
	switch {
	case r.left <= 0:
		return 0, fmt.Errorf("%w: the page is too large", content.ErrInvalid)
	case r.value > maxValue:
		return 0, fmt.Errorf("%w: a value has more than %d bytes", content.ErrInvalid, maxValue)
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left+1)])
	if r.left -= int64(n); r.left < 0 {
		return 0, fmt.Errorf("%w: the page is too large", content.ErrInvalid)
	}
	r.value += int64(n)
	return n, err
}
