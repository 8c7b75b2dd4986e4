package answer

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

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
	return fmt.Errorf("decompress the answer: %w: %w", io.ErrUnexpectedEOF, err)
}
