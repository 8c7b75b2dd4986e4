package content_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func TestVerifier(t *testing.T) {
	blob := contenttest.NewLayer("verify", 10_000)
	empty := contenttest.NewLayer("verify", 0)
	changed := bytes.Clone(blob.Bytes)
	changed[9_999] ^= 1
	for _, test := range []struct {
		name  string
		blob  contenttest.Blob
		bytes []byte
		want  *content.MismatchError // without Want
		short bool
	}{
		{"exact", blob, blob.Bytes, nil, false},
		{"exact and empty", empty, nil, nil, false},
		{"short", blob, blob.Bytes[:9_999], &content.MismatchError{GotSize: 9_999}, true},
		{"empty", blob, nil, &content.MismatchError{}, true},
		{"long", blob, append(bytes.Clone(blob.Bytes), 1), &content.MismatchError{GotSize: 10_001}, false},
		{"not empty", empty, []byte("x"), &content.MismatchError{GotSize: 1}, false},
		{"changed", blob, changed, &content.MismatchError{GotSize: 10_000, GotDigest: digest.FromBytes(changed)}, false},
	} {
		for how, split := range map[string]func(io.Reader) io.Reader{
			"whole":        func(r io.Reader) io.Reader { return r },
			"byte by byte": iotest.OneByteReader,
			"half":         iotest.HalfReader,
			"EOF at once":  iotest.DataErrReader,
		} {
			t.Run(test.name+", "+how, func(t *testing.T) {
				verifier := content.NewVerifier(split(bytes.NewReader(test.bytes)), test.blob.Descriptor)
				got, err := io.ReadAll(verifier)
				if test.want == nil {
					if err != nil || !bytes.Equal(got, test.bytes) {
						t.Errorf("got %d bytes and %v", len(got), err)
					}
					return
				}
				mismatch, is := errors.AsType[*content.MismatchError](err)
				if !is || !errors.Is(err, content.ErrMismatch) {
					t.Fatalf("got %v, want a mismatch", err)
				}
				if mismatch.GotSize != test.want.GotSize || mismatch.GotDigest != test.want.GotDigest || mismatch.Short() != test.short {
					t.Errorf("got %+v, short %v", mismatch, mismatch.Short())
				}
				if int64(len(got)) > test.blob.Descriptor.Size {
					t.Errorf("passed on %d bytes of %d", len(got), test.blob.Descriptor.Size)
				}
				if !strings.Contains(err.Error(), test.blob.Descriptor.Digest.String()) {
					t.Errorf("%q does not name the blob", err)
				}
				if n, again := verifier.Read(make([]byte, 10)); n != 0 || !errors.Is(again, err) {
					t.Errorf("read again: got %d bytes and %v, want the same error", n, again)
				}
			})
		}
	}
}

func TestVerifierPassesReadErrorsOn(t *testing.T) {
	blob := contenttest.NewLayer("verify", 100)
	broken := errors.New("broken")
	verifier := content.NewVerifier(io.MultiReader(bytes.NewReader(blob.Bytes[:50]), iotest.ErrReader(broken)), blob.Descriptor)
	if got, err := io.ReadAll(verifier); !errors.Is(err, broken) || len(got) != 50 {
		t.Errorf("got %d bytes and %v, want 50 and the reader's error", len(got), err)
	}
	if err := iotest.TestReader(content.NewVerifier(bytes.NewReader(blob.Bytes), blob.Descriptor), blob.Bytes); err != nil {
		t.Error(err)
	}
}

// A body that ends early in HTTP gives io.ErrUnexpectedEOF.
func TestVerifierTakesUnexpectedEOFForShort(t *testing.T) {
	blob := contenttest.NewLayer("verify", 100)
	cut := io.MultiReader(bytes.NewReader(blob.Bytes[:60]), iotest.ErrReader(io.ErrUnexpectedEOF))
	_, err := io.ReadAll(content.NewVerifier(cut, blob.Descriptor))
	if mismatch, is := errors.AsType[*content.MismatchError](err); !is || !mismatch.Short() || mismatch.GotSize != 60 {
		t.Errorf("got %v, want short at 60 bytes", err)
	}
}

func TestVerifierKnowsSHA512(t *testing.T) {
	raw := []byte("sha512")
	d := content.Descriptor{Digest: digest.SHA512.FromBytes(raw), Size: int64(len(raw))}
	if _, err := io.ReadAll(content.NewVerifier(bytes.NewReader(raw), d)); err != nil {
		t.Error(err)
	}
}

func TestVerifyBytes(t *testing.T) {
	blob := contenttest.NewLayer("bytes", 100)
	unknownSize := blob.Descriptor
	unknownSize.Size = 0
	for name, test := range map[string]struct {
		d    content.Descriptor
		raw  []byte
		want error
	}{
		"exact":        {blob.Descriptor, blob.Bytes, nil},
		"unknown size": {unknownSize, blob.Bytes, nil},
		"short":        {blob.Descriptor, blob.Bytes[:99], content.ErrMismatch},
		"other":        {unknownSize, blob.Bytes[:99], content.ErrMismatch},
	} {
		if err := content.VerifyBytes(test.raw, test.d); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}
