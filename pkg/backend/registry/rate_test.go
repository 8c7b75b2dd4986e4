package registry

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// dripping is the size of the body that drips.
const dripping = 1 << 20

// drip sends or receives a body in pieces, with a pause before each.
type drip struct {
	registry http.Handler
	piece    int
	pause    time.Duration
}

func (d *drip) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.Method {
	case http.MethodGet:
		w.Header().Set("Content-Length", strconv.Itoa(dripping))
		for left := dripping; ; left -= d.piece {
			_ = http.NewResponseController(w).Flush()
			time.Sleep(d.pause)
			if _, err := w.Write(make([]byte, min(left, d.piece))); err != nil || left <= d.piece {
				return
			}
		}
	case http.MethodPut:
		for piece := make([]byte, d.piece); ; {
			time.Sleep(d.pause)
			if _, err := io.ReadFull(req.Body, piece); err != nil {
				return
			}
		}
	}
	d.registry.ServeHTTP(w, req)
}

// A source that sent a byte now and then was never silent for 30 s, and held its slot for ever.
func TestMinimumRateOfAnAnswer(t *testing.T) {
	for _, test := range []struct {
		name  string
		piece int
		pause time.Duration
		took  time.Duration // until it was ended; zero if it was not
	}{
		{"a byte every 20 s", 1, 20 * time.Second, 2 * time.Minute},
		{"a byte every minute", 1, time.Minute, 30 * time.Second}, // silence
		{"1,000 bytes a second", 1000, time.Second, 2 * time.Minute},
		{"1,100 bytes a second", 1100, time.Second, 0},
		{"4 KiB every 25 s", 4096, 25 * time.Second, 125 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := bubbled(t, &drip{newRegistry(t), test.piece, test.pause})
				body, err := r.FetchBlob(t.Context(), layer(dripping).Descriptor)
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				began := time.Now()
				n, err := io.Copy(io.Discard, body)
				took := time.Since(began)
				if test.took == 0 {
					if err != nil || n != dripping {
						t.Errorf("got %d bytes and %v", n, err)
					}
					return
				}
				if !retry.Retryable(err) || took.Round(time.Second) != test.took {
					t.Errorf("got %v after %v, want a retryable error after %v", err, took, test.took)
				}
				slow, is := errors.AsType[*RateError](err)
				if _, silent := errors.AsType[*StallError](err); is == silent || is && (slow.Bytes != n || slow.Waited < 2*time.Minute) {
					t.Errorf("got %v after %d bytes, want a RateError or a StallError", err, n)
				}
			})
		})
	}
}

// An upload to a destination that receives too slowly ends, whichever of the two limits it reaches first.
func TestMinimumRateOfAnUpload(t *testing.T) {
	for _, piece := range []int{1, 100, 500} {
		t.Run(strconv.Itoa(piece), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := bubbled(t, &drip{newRegistry(t), piece, time.Second})
				blob := layer(dripping)
				upload := startUpload(t, r, blob)
				began := time.Now()
				err := upload.Commit(t.Context(), blob.Stream())
				if took := time.Since(began); !retry.Retryable(err) || errors.Is(err, content.ErrUnconfirmed) || took > 150*time.Second {
					t.Errorf("got %v after %v, want a retryable error within 150 s", err, took)
				}
			})
		})
	}
}
