package limit

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// A registry is down after downFailures consecutive failures of at least downItems
	// items, or of fewer if it has answered before and now refuses connections. It is also down after
	// downRefusals failures if it has refused connections for downRefused, and if it has not
	// answered for downSilence.
	downFailures = 5
	downItems    = 3
	downSilence  = 20 * time.Second
	downRefusals = 3
	downRefused  = 3 * time.Second
	// testTimeout is how long a test without a report blocks the next one.
	testTimeout = time.Minute
	// staleFailure is how long failures count without a new one.
	staleFailure = 3 * time.Minute
)

// health is the health of a registry: its consecutive failures since the last good answer.
type health struct {
	giveUp, giveUpNew time.Duration

	failures    int
	items       []string // of the failures, at most downItems
	first, last time.Time
	silent      time.Time // since when no request was answered; zero after a 5xx
	cause       error     // of the last failure
	good        time.Time // of the last good answer
	refused     time.Time // when a connection was refused first, of the failures

	down   bool
	notice bool  // Options.Changed was called for this outage, which ends with an answer
	test   int64 // the request or stream that tests the registry, until it is reported; 0 if none
	tested time.Time
}

// answered resets the failures. It reports whether the registry was down. An answer to a request that was sent before a
// connection was refused says nothing: the registry has gone since then.
func (h *health) answered(a Answer, now time.Time) (wasDown bool) {
	if now.Add(-a.RoundTrip).Before(h.refused) {
		return false
	}
	wasDown = h.down
	*h = health{giveUp: h.giveUp, giveUpNew: h.giveUpNew, good: now}
	return wasDown
}

func (h *health) failed(a Answer, now time.Time) {
	h.forgetStale(now)
	defer func() { h.notice = h.notice || h.isNoticeable(now) }()
	if h.failures++; h.failures == 1 {
		h.first = now
	}
	h.last, h.cause, h.test = now, causeOf(a), 0
	if a.Refused && h.refused.IsZero() {
		h.refused = now
	}
	if len(h.items) < downItems && !slices.Contains(h.items, a.Item) {
		h.items = append(h.items, a.Item)
	}
	if h.down {
		return
	}
	h.noteSilence(a, now)
	vanished := a.Refused && !h.good.IsZero() // which no single item causes
	if h.failures >= downFailures && (len(h.items) >= downItems || vanished) ||
		a.Refused && h.failures >= downRefusals && now.Sub(h.refused) >= downRefused ||
		!h.silent.IsZero() && now.Sub(h.silent) >= downSilence {
		h.down, h.tested = true, now
	}
}

// isNoticeable reports whether the user should know that the registry is down: one that refuses connections may only be
// restarting.
func (h *health) isNoticeable(now time.Time) bool {
	return h.down && (h.refused.IsZero() || now.Sub(h.refused) >= downRefused)
}

// noteSilence updates the time since which the registry has not answered at all.
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
		*h = health{giveUp: h.giveUp, giveUpNew: h.giveUpNew, good: h.good, notice: h.notice}
	}
}

func (h *health) isDown(now time.Time) bool {
	h.forgetStale(now)
	return h.down
}

func (h *health) giveUpAfter() time.Duration {
	if h.good.IsZero() {
		return h.giveUpNew
	}
	return h.giveUp
}

func (h *health) givenUp(now time.Time) bool {
	return h.isDown(now) && now.Sub(h.first) >= h.giveUpAfter()
}

// admits reports whether a request or stream may go. If the registry is down, only the test in
// flight and, when it is due, the next test may go.
func (h *health) admits(id int64, now time.Time) bool {
	return !h.isDown(now) || h.test == id || h.due(now)
}

func (h *health) due(now time.Time) bool { return !now.Before(h.nextTest(now)) }

// nextTest is when the next test may begin, by the current interval.
func (h *health) nextTest(now time.Time) time.Time {
	interval := 30 * time.Second
	switch since := now.Sub(h.first); {
	case since < 20*time.Second:
		interval = time.Second
	case since < time.Minute:
		interval = 5 * time.Second
	}
	if h.test != 0 {
		interval = max(interval, testTimeout)
	}
	return h.tested.Add(interval)
}

// end records that a request or stream has released its slot. A test that was not reported
// before is over.
func (h *health) end(id int64) (wasTest bool) {
	if wasTest = h.test == id && id != 0; wasTest {
		h.test = 0
	}
	return wasTest
}

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

var errNoAnswer = errors.New("no response")

type statusError int

func (e statusError) Error() string { return fmt.Sprintf("%d %s", int(e), http.StatusText(int(e))) }

// HTTPStatus is used by package retry.
func (e statusError) HTTPStatus() int { return int(e) }

// DownError means that a request was not sent, because its registry is down.
type DownError struct {
	Registry string
	// Since is the time of the first consecutive failure.
	Since time.Time
	// GiveUp is how long after Since requests wait for the registry.
	GiveUp time.Duration
	// GivenUp is set when requests no longer wait for the registry (Options.GiveUp).
	GivenUp bool
	// Err is the cause of the last failure.
	Err error
}

func (e *DownError) Error() string {
	return fmt.Sprintf("%s has been down since %s: %s", e.Registry, e.Since.Local().Format(time.TimeOnly), e.Reason())
}

// Unwrap returns Err.
func (e *DownError) Unwrap() error { return e.Err }

// RegistryHost returns Registry, for callers that match errors by interface.
func (e *DownError) RegistryHost() string { return e.Registry }

// Reason returns the cause, which is the same for all requests that were not sent.
func (e *DownError) Reason() string {
	if cause, ok := errors.AsType[interface {
		error
		Reason() string
	}](e.Err); ok {
		return cause.Reason()
	}
	return e.Err.Error()
}

// Lasting tells package retry not to retry.
func (e *DownError) Lasting() bool { return e.GivenUp }
