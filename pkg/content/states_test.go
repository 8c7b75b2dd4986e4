package content_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// verifiedTo is a Stream of a blob whose bytes another Stream has verified, read up to an offset.
func verifiedTo(t *testing.T, blob contenttest.Blob, offset int64) *content.Stream {
	t.Helper()
	var states content.States
	verifying := content.NewStream(bytes.NewReader(blob.Bytes), blob.Descriptor)
	states.Keep(verifying)
	var spool bytes.Buffer
	for p := make([]byte, 64<<10); ; states.Keep(verifying) {
		n, err := verifying.Read(p)
		if spool.Write(p[:n]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	s := content.VerifiedStream(&spool, blob.Descriptor, &states)
	if _, err := io.CopyN(io.Discard, s, offset); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerifiedStream(t *testing.T) {
	blob := contenttest.NewLayer("verified", 5<<20+123)
	size := blob.Descriptor.Size
	got, err := io.ReadAll(verifiedTo(t, blob, 0))
	if err != nil || !bytes.Equal(got, blob.Bytes) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	for _, offset := range []int64{0, 100, 1 << 20, 3<<20 + 5, size} {
		s := verifiedTo(t, blob, offset)
		state, err := s.MarshalBinary()
		hashed := s.Hashed()
		if err != nil || hashed > offset || offset-hashed > 2<<20 {
			t.Fatalf("at %d: %d bytes are hashed, %v", offset, hashed, err)
		}
		// A later process goes on from the state.
		resumed, err := content.ResumeStream(bytes.NewReader(blob.Bytes[hashed:]), blob.Descriptor, state)
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(resumed); err != nil || !bytes.Equal(rest, blob.Bytes[hashed:]) {
			t.Errorf("from %d: read %d bytes, %v", hashed, len(rest), err)
		}
		// The same Stream goes on with a source that nothing has verified.
		for name, test := range map[string]struct {
			change func([]byte)
			wrong  bool
		}{"right": {func([]byte) {}, false}, "wrong": {func(b []byte) { b[len(b)-1]++ }, true}} {
			s := verifiedTo(t, blob, offset)
			rest := bytes.Clone(blob.Bytes[hashed:])
			if len(rest) == 0 {
				continue
			}
			test.change(rest)
			if err := s.Continue(bytes.NewReader(rest), hashed); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(s)
			if errors.Is(err, content.ErrMismatch) != test.wrong || !test.wrong && (err != nil || !bytes.Equal(got, rest)) {
				t.Errorf("%s from %d: read %d bytes, %v", name, hashed, len(got), err)
			}
		}
	}
	var states content.States
	if _, err := io.ReadAll(content.VerifiedStream(bytes.NewReader(blob.Bytes[:1000]), blob.Descriptor, &states)); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("a short source: %v, want a mismatch", err)
	}
}
