package answer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/regsync/regsync/pkg/content"
)

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
		return nil, fmt.Errorf("%s: %w", Requested(resp), BrokenOrInvalid(err))
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
		return errors.New("the page is not a JSON object")
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
	return errors.New("unexpected data after the page")
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
