package limit

import (
	"fmt"
	"net/http"
	"time"

	"github.com/regsync/regsync/pkg/retry"
)

const (
	// busyWithin is the time within which answers for two items, 503 with Retry-After or 429 without it, pause their
	// class.
	busyWithin = 10 * time.Second
	// A registry that answers 429 without Retry-After is paused for minPause at first, and for twice as long each
	// time that it does so again within maxPause.
	minPause, maxPause = 5 * time.Second, time.Minute
)

type pauseKey struct {
	account string
	class   Class
}

// pause is the time until which a registry accepts no requests of a class from an account.
type pause struct {
	until  time.Time
	status int      // of the answer that caused it
	asked  bool     // the answer stated the time
	waited bool     // requests wait for the end: it was at most retry.MaxRetryAfter away at first
	busy   lastItem // that got a 503 with Retry-After, or a 429 without one from a registry that counts pulls
	// refused is the last item that got a 429 without Retry-After although few requests were in flight, if no request
	// has succeeded since.
	refused lastItem
	// item is the wait of a single item that got a 503 with Retry-After.
	item Pause
	// length is that of the last pause of slowDown.
	length time.Duration
}

// extend moves the end of a pause; it never shortens the pause.
func (p *pause) extend(now time.Time, d time.Duration, status int, asked bool) {
	if until := now.Add(d); until.After(p.until) {
		p.until, p.status, p.asked, p.waited = until, status, asked, d <= retry.MaxRetryAfter
	}
}

// lastItem is the last item of a registry that got an answer of some kind. One answer may concern only its item; two
// answers for different items concern the registry.
type lastItem struct {
	item string
	at   time.Time
}

// isOther records the next item, and reports whether it differs from the last one, less than busyWithin ago.
func (l *lastItem) isOther(item string, now time.Time) bool {
	other := !l.at.IsZero() && l.item != item && now.Sub(l.at) <= busyWithin
	l.item, l.at = item, now
	return other
}

// slowDown pauses the class after answers 429 without Retry-After for two items: fewer requests in flight do not help
// there. Answers that arrive during the pause do not prolong it.
func (p *pause) slowDown(last *lastItem, item string, now time.Time) {
	if p.until.After(now) || !last.isOther(item, now) {
		return
	}
	if p.length = min(2*p.length, maxPause); p.length == 0 || now.Sub(p.until) > maxPause {
		p.length = minPause
	}
	p.extend(now, p.length, http.StatusTooManyRequests, false)
}

// Pause is a time for which a registry accepts no requests of some kind, or none for a single item.
type Pause struct {
	Until time.Time
	// Status is the HTTP status of the answer that caused it: 429 or 503. It is zero if the pull quota is used up, and
	// its next window begins soon.
	Status int
	// Asked: the answer stated the time.
	Asked bool
}

// PauseError means that a registry is paused for longer than retry.MaxRetryAfter, or that its pull quota is used up.
// [Slots.Read] and [Limiter.Try] return it for shorter pauses, too.
type PauseError struct {
	Registry string
	Class    Class
	Until    time.Time
	// About: Until is an estimate, because the registry stated a quota and its window, but not when the window ends.
	About bool
	// Quota: the pull quota of the account is used up, except for Reserve pulls that Options.PullReserve keeps.
	Quota   bool
	Reserve int
	// Err is the answer that asked for the pause; nil if the request was not sent.
	Err error
}

// Unwrap returns Err.
func (e *PauseError) Unwrap() error { return e.Err }

func (e *PauseError) Error() string {
	what := map[Class]string{Read: "downloads", Write: "uploads", Small: "requests", Pull: "requests"}[e.Class]
	if e.Quota {
		what = "pulls"
	}
	until, layout := e.Until.Local(), "15:04"
	if now := time.Now(); until.YearDay() != now.YearDay() || until.Year() != now.Year() {
		layout = "2006-01-02 15:04"
	}
	about := ""
	if e.About {
		about = "about "
	}
	text := fmt.Sprintf("%s allows no more %s until %s%s", e.Registry, what, about, until.Format(layout))
	if e.Reserve > 0 {
		text += fmt.Sprintf(" (pullReserve keeps %d)", e.Reserve)
	}
	return text
}

// RegistryHost returns Registry, for callers that match errors by interface.
func (e *PauseError) RegistryHost() string { return e.Registry }

// Reason returns the same text for all requests.
func (e *PauseError) Reason() string { return e.Error() }

// RetryAfter returns how much longer the pause lasts.
func (e *PauseError) RetryAfter() time.Duration { return max(0, time.Until(e.Until)) }

// HTTPStatus is used by package retry: another attempt makes sense, unless RetryAfter is longer
// than retry.MaxRetryAfter.
func (e *PauseError) HTTPStatus() int { return http.StatusTooManyRequests }
