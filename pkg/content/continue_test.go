package content_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// A Stream goes on from another source, at or before the byte where the first one broke, wherever that is.
func TestContinue(t *testing.T) {
	const size = content.HeldBack * 3
	blob := contenttest.NewLayer("continued", size)
	for _, broken := range []int{0, 1, 1000, size - content.HeldBack - 1, size - content.HeldBack, size - 100, size} {
		for _, back := range []int{0, 1, 1000, content.HeldBack + 7} {
			s := content.NewStream(io.MultiReader(bytes.NewReader(blob.Bytes[:broken]), breaking{}), blob.Descriptor)
			first, err := io.ReadAll(io.LimitReader(s, int64(broken)))
			if broken < size && err == nil && len(first) == broken {
				if _, err := s.Read(make([]byte, 1)); err == nil {
					t.Fatalf("broken at %d: a byte more", broken)
				}
			}
			offset := max(len(first)-back, 0)
			source := io.Reader(bytes.NewReader(blob.Bytes[offset:]))
			if back%2 == 1 {
				source = iotest.DataErrReader(source) // the end comes with the last bytes
			}
			if err := s.Continue(source, int64(offset)); err != nil {
				t.Fatalf("broken at %d (%v), continued at %d: %v", broken, err, offset, err)
			}
			rest, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(append(first[:offset:offset], rest...), blob.Bytes) {
				t.Errorf("broken at %d, continued at %d: %d bytes and %v", broken, offset, len(rest), err)
			}
		}
	}
}

type breaking struct{}

func (breaking) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestContinueIsRefused(t *testing.T) {
	blob := contenttest.NewLayer("refused", content.HeldBack*3)
	s := content.NewStream(bytes.NewReader(blob.Bytes), blob.Descriptor)
	if _, err := io.CopyN(io.Discard, s, 1000); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{-1, 1001} {
		if err := s.Continue(bytes.NewReader(nil), offset); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("continued at %d after 1000 bytes: %v", offset, err)
		}
	}
	wrong := bytes.Clone(blob.Bytes)
	wrong[5]++
	s = content.NewStream(bytes.NewReader(wrong), blob.Descriptor)
	if _, err := io.Copy(io.Discard, s); !errors.Is(err, content.ErrMismatch) {
		t.Fatal(err)
	}
	if err := s.Continue(bytes.NewReader(blob.Bytes), 0); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("continued after wrong bytes: %v", err)
	}
	// After a shorter source, or bytes that were wrong and are not sent again, the end is an error.
	s = content.NewStream(bytes.NewReader(blob.Bytes), blob.Descriptor)
	if _, err := io.CopyN(io.Discard, s, 1000); err != nil {
		t.Fatal(err)
	}
	if err := s.Continue(bytes.NewReader(blob.Bytes[500:2000]), 500); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, s); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("a source that is too short: %v", err)
	}
}
