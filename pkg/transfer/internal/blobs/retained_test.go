package blobs

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// A small blob whose upload is refused after its body is read once, if there is memory for it.
func TestRefusedUploadIsNotReadAgain(t *testing.T) {
	const refusals = 3
	for _, test := range []struct {
		name     string
		size     int
		reserved int64 // by other blobs
		lasting  bool
		fetches  int
	}{
		{name: "small", size: 100 << 10, fetches: 1},
		{name: "the largest", size: retainedSize, fetches: 1},
		{name: "too large", size: retainedSize + 1, fetches: 1 + refusals},
		{name: "no memory left", size: 100 << 10, reserved: maxRetained, fetches: 1 + refusals},
		{name: "refused for good", size: 100 << 10, lasting: true, fetches: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				layer := contenttest.NewLayer("x", test.size)
				from, to := b.at(t, "a.test", "app", layer), b.at(t, "b.test", "app")
				fetches, refused := 0, 0
				from.fail = func(what string) error {
					if what == "fetch" {
						fetches++
					}
					return nil
				}
				to.refuse = func() error {
					if refused++; refused > refusals {
						return nil
					}
					if test.lasting {
						return content.ErrDenied
					}
					return answer(http.StatusServiceUnavailable)
				}
				b.retained = test.reserved
				err := b.bring(t, from, to, layer)
				if test.lasting {
					requireSide(t, err, "destination", content.ErrDenied)
				} else if err != nil {
					t.Error(err)
				} else if got := read(t, to, layer); !bytes.Equal(got, layer.Bytes) {
					t.Errorf("%d bytes arrived, which are not those of the blob", len(got))
				}
				if fetches != test.fetches {
					t.Errorf("the source was read %d times, want %d", fetches, test.fetches)
				}
				b.Close()
				if b.retained != test.reserved {
					t.Errorf("%d bytes are still reserved", b.retained-test.reserved)
				}
			})
		})
	}
}

// Corrupt bytes are not used again.
func TestWrongBytesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		layer := contenttest.NewLayer("x", 100<<10)
		from, to := b.at(t, "a.test", "app", layer), b.at(t, "b.test", "app")
		wrong := &flipping{counted: from, left: 1}
		d := b.Open(1, Origin{Source: wrong}, Place{Target: to})
		d.Need(layer.Descriptor)
		_, err := d.Wait(t.Context(), layer.Descriptor)
		d.Release(err == nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, to, layer); !bytes.Equal(got, layer.Bytes) || wrong.left != 0 {
			t.Errorf("%d bytes arrived, which are not those of the blob, or %d wrong reads are left", len(got), wrong.left)
		}
		if b.Close(); b.retained != 0 {
			t.Errorf("%d bytes are still reserved", b.retained)
		}
	})
}

// flipping corrupts the first byte of some reads.
type flipping struct {
	*counted
	left int // reads to corrupt
}

func (f *flipping) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	body, err := f.counted.FetchBlob(ctx, d)
	if err != nil || f.left == 0 {
		return body, err
	}
	f.left--
	first := make([]byte, 1)
	if _, err := io.ReadFull(body, first); err != nil {
		return nil, err
	}
	first[0] ^= 1
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), body), body}, nil
}

func read(t *testing.T, from *counted, blob contenttest.Blob) []byte {
	t.Helper()
	body, err := from.MemoryRepository.FetchBlob(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
