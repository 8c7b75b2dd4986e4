package limit

import (
	"fmt"
	"net/http"
	"time"
)

// busyWithin is the time in which two items must be refused by 503 with Retry-After for a
// pause of their class.
const busyWithin = 10 * time.Second

type pauseKey struct {
	account string
	class   Class
}

// pause is how long a registry wants to be left alone by one account's requests of a class.
type pause struct {
	until time.Time
	// busyItem is what was last refused by 503 with Retry-After, and busyAt when.
	busyItem string
	busyAt   time.Time
}

// extend never shortens a pause that lasts longer.
func (p *pause) extend(until time.Time) {
	if until.After(p.until) {
		p.until = until
	}
}

// busy notes a 503 with Retry-After. It reports whether it is the second item's: one alone
// may be about that item.
func (p *pause) busy(item string, now time.Time) bool {
	second := !p.busyAt.IsZero() && p.busyItem != item && now.Sub(p.busyAt) <= busyWithin
	p.busyItem, p.busyAt = item, now
	return second
}

// PauseError is a request to a registry that wants to be left alone for longer than
// retry.MaxRetryAfter. [Slots.Read] and [Limiter.Try] return it for shorter pauses, too.
type PauseError struct {
	Registry string
	Class    Class
	Until    time.Time
	// Err is the answer that asked for the pause; nil where the request was not sent.
	Err error
}

// Unwrap gives the answer.
func (e *PauseError) Unwrap() error { return e.Err }

func (e *PauseError) Error() string {
	what := map[Class]string{Read: "downloads", Write: "uploads", Small: "requests", Pull: "pulls"}[e.Class]
	until, layout := e.Until.Local(), "15:04"
	if now := time.Now(); until.YearDay() != now.YearDay() || until.Year() != now.Year() {
		layout = "2006-01-02 15:04"
	}
	return fmt.Sprintf("%s allows no more %s until %s", e.Registry, what, until.Format(layout))
}

// RegistryHost is Registry, for those who know errors by what they can tell.
func (e *PauseError) RegistryHost() string { return e.Registry }

// RetryAfter is how long the pause lasts from now on.
func (e *PauseError) RetryAfter() time.Duration { return max(0, time.Until(e.Until)) }

// HTTPStatus lets package retry judge it: another attempt makes sense, unless it would be
// longer than retry.MaxRetryAfter until then.
func (e *PauseError) HTTPStatus() int { return http.StatusTooManyRequests }
