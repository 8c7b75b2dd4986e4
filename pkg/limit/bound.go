package limit

import (
	"time"
)

// Cause is why requests waited.
type Cause string

// The causes.
const (
	ByConnections Cause = "maxConnections"    // the configuration allows no more in flight
	ByRefusals    Cause = "429"               // the registry refused more in flight
	ByPause       Cause = "Retry-After"       // the registry asked for a pause
	ByRequests    Cause = "requestsPerSecond" // the configuration
	ByBandwidth   Cause = "bandwidth"         // the configuration
)

// Bound is a limit that requests waited for.
type Bound struct {
	Registry string
	Cause    Cause
	// Waited is the time that all requests and streams waited for it, together.
	Waited time.Duration
}

// waited records how long something waited for a slot of a class and account. A window that still grows is no
// limit.
func (r *registry) waited(since time.Time, account string, c Class, now time.Time) {
	var cause Cause
	p := r.pauses[pauseKey{account, c}]
	switch {
	case p != nil && p.until.After(since):
		cause = ByPause
	case !r.window.probing:
		cause = ByRefusals
	case r.window.size == r.window.most && r.window.most < mostWindow:
		cause = ByConnections
	default:
		return
	}
	r.waits[cause] += now.Sub(since)
}
