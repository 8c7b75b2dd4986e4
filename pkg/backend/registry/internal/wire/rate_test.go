package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// slowly takes what is read in pieces, with a pause after each, as a peer does.
func slowly(body io.Reader, piece int, pause time.Duration) error {
	for p := make([]byte, piece); ; {
		_, err := body.Read(p)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

// slowSource waits before each Read, as a slow source does.
type slowSource struct {
	io.Reader
	pause time.Duration
}

func (s slowSource) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Reader.Read(p)
}

func TestRateOfABody(t *testing.T) {
	for _, test := range []struct {
		name          string
		piece         int
		source, taken time.Duration // a piece
		ends          bool
	}{
		{"a fast peer", 4096, 0, time.Second, false},
		{"a peer at the limit", 1024, 0, time.Second, false},
		{"a slow peer", 1023, 0, time.Second, true},
		{"a slow source", 10, time.Minute, time.Millisecond, false},
		{"both", 10, time.Minute, time.Second, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended error
				limits := DefaultLimits()
				end := func(cause error) { ended = cause }
				m := &rateMonitor{clock: newClock(limits.Stall, "to send data", end), limits: limits, direction: "sent", end: end}
				source := slowSource{bytes.NewReader(make([]byte, 300*test.piece)), test.source}
				err := slowly(&sending{wait: anyRate, ReadCloser: io.NopCloser(source), monitor: m, used: &connection{}}, test.piece, test.taken)
				slow, is := errors.AsType[*RateError](err)
				if is != test.ends || is && (!errors.Is(ended, err) || slow.Waited != limits.RateSpan) {
					t.Errorf("got %v and %v, want an end: %v", err, ended, test.ends)
				}
				m.clock.end()
			})
		})
	}
}

// anyRate waits for no bandwidth.
func anyRate(int) error { return nil }
