package limit

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// A registry is down after so many failures in a row, of so many items at least...
	downFailures = 5
	downItems    = 3
	// ... or when it has not answered for so long.
	downSilence = 20 * time.Second
	// testPatience is how long a test that is not reported blocks the next one.
	testPatience = time.Minute
	// staleFailure is how long ago the last failure of a registry that was not asked since
	// may be. After that nothing is known of it.
	staleFailure = 3 * time.Minute
)

// health is what the answers of a registry say about it: the failures since the last good
// answer, the row.
type health struct {
	giveUp, giveUpNew time.Duration

	failures    int
	items       []string // of the row, at most downItems
	first, last time.Time
	silent      time.Time // since when no request was answered at all; zero after a 5xx
	cause       error     // of the last failure
	good        time.Time

	down   bool
	test   int64 // the request or stream that was let through and has not been reported; 0: none
	tested time.Time
}

// answered ends all suspicion. It reports whether the registry was down.
func (h *health) answered(now time.Time) (wasDown bool) {
	wasDown = h.down
	*h = health{giveUp: h.giveUp, giveUpNew: h.giveUpNew, good: now}
	return wasDown
}

// failed adds a failure to the row, and decides whether the registry is down.
func (h *health) failed(a Answer, now time.Time) {
	h.forgetStale(now)
	if h.failures++; h.failures == 1 {
		h.first = now
	}
	h.last, h.cause, h.test = now, causeOf(a), 0
	if len(h.items) < downItems && !slices.Contains(h.items, a.Item) {
		h.items = append(h.items, a.Item)
	}
	if h.down {
		return
	}
	h.noteSilence(a, now)
	if h.failures >= downFailures && len(h.items) >= downItems ||
		!h.silent.IsZero() && now.Sub(h.silent) >= downSilence {
		h.down, h.tested = true, now
	}
}

// noteSilence notes since when the registry has given no answer, not even a bad one.
func (h *health) noteSilence(a Answer, now time.Time) {
	if a.Status != 0 {
		h.silent = time.Time{}
		return
	}
	began := now.Add(-a.RoundTrip)
	if h.silent.IsZero() || began.Before(h.silent) && began.After(h.good) {
		h.silent = began
	}
	if h.silent.Before(h.good) {
		h.silent = now
	}
}

func (h *health) forgetStale(now time.Time) {
	if h.failures > 0 && now.Sub(h.last) > max(staleFailure, h.giveUp) {
		*h = health{giveUp: h.giveUp, giveUpNew: h.giveUpNew, good: h.good}
	}
}

func (h *health) isDown(now time.Time) bool {
	h.forgetStale(now)
	return h.down
}

// patience is how long the registry is waited for.
func (h *health) patience() time.Duration {
	if h.good.IsZero() {
		return h.giveUpNew
	}
	return h.giveUp
}

func (h *health) givenUp(now time.Time) bool {
	return h.isDown(now) && now.Sub(h.first) >= h.patience()
}

// admits reports whether the request or stream of that number may go: any where the registry
// is up; where it is down, the test under way and, when one is due, the next.
func (h *health) admits(id int64, now time.Time) bool {
	return !h.isDown(now) || h.test == id || h.due(now)
}

// due reports whether the next test may begin.
func (h *health) due(now time.Time) bool { return !now.Before(h.nextTest(now)) }

// nextTest is when the next test may begin, by the interval that applies now.
func (h *health) nextTest(now time.Time) time.Time {
	interval := 30 * time.Second
	switch since := now.Sub(h.first); {
	case since < 20*time.Second:
		interval = time.Second
	case since < time.Minute:
		interval = 5 * time.Second
	}
	if h.test != 0 {
		interval = max(interval, testPatience)
	}
	return h.tested.Add(interval)
}

// end notes that a request or stream holds its slot no more: a test that was not reported by
// then never will be.
func (h *health) end(id int64) {
	if h.test == id {
		h.test = 0
	}
}

// isFailure reports whether an answer says that the registry does not work.
func isFailure(a Answer) bool {
	switch a.Status {
	case 0, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return a.Status == http.StatusServiceUnavailable && a.RetryAfter == 0
}

func causeOf(a Answer) error {
	switch {
	case a.Status != 0:
		return statusError(a.Status)
	case a.Err != nil:
		return a.Err
	}
	return errNoAnswer
}

var errNoAnswer = errors.New("no answer")

// statusError is the status that a registry answered last.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("%d %s", int(e), http.StatusText(int(e))) }

// HTTPStatus lets package retry judge it.
func (e statusError) HTTPStatus() int { return int(e) }

// DownError is a request that was not sent, because its registry is down.
type DownError struct {
	Registry string
	// Since is when the first of the requests failed that have failed in a row.
	Since time.Time
	// GivenUp: the registry has been down for so long that nothing waits for it any more.
	GivenUp bool
	// Err is the cause of the last request.
	Err error
}

func (e *DownError) Error() string {
	return fmt.Sprintf("not tried, %s has been down since %s: %v", e.Registry, e.Since.Local().Format(time.TimeOnly), e.Err)
}

// Unwrap gives the cause of the last request.
func (e *DownError) Unwrap() error { return e.Err }

// Lasting tells package retry whether another attempt is useless.
func (e *DownError) Lasting() bool { return e.GivenUp }
