package limit

import "time"

// Cause is why requests wait.
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
	// Waited is the time during which at least one request or stream waited for it.
	Waited time.Duration
}

// waits is the time during which requests wait for one limit.
type waits struct {
	n     int       // how many wait now
	since time.Time // when n changed last
	total time.Duration
}

func (w *waits) until(now time.Time) time.Duration {
	if w.n == 0 {
		return w.total
	}
	return w.total + now.Sub(w.since)
}

// waitsFor records that a wait for a limit begins, or ends if n is -1.
func (r *registry) waitsFor(c Cause, n int, now time.Time) {
	w := r.waits[c]
	if w == nil {
		w = &waits{}
		r.waits[c] = w
	}
	w.total = w.until(now)
	w.n, w.since = w.n+n, now
}

// noteBound records what requests and streams wait for from now on.
func (r *registry) noteBound(now time.Time) {
	bound := r.bindingLimit(now)
	if bound == r.bound {
		return
	}
	if r.bound != "" {
		r.waitsFor(r.bound, -1, now)
	}
	if r.bound = bound; bound != "" {
		r.waitsFor(bound, 1, now)
	}
}

// bindingLimit returns the limit that requests or streams wait for now; empty if none wait, or the registry is down.
func (r *registry) bindingLimit(now time.Time) Cause {
	if r.waiting == 0 || r.health.isDown(now) {
		return ""
	}
	forSlot := false
	for key := range r.queues {
		if r.pause(key.account, key.class, now) != nil {
			return ByPause
		}
		forSlot = forSlot || key.class != Pull || r.budget(key.account).admits(key.reserved, now)
	}
	for peers, p := range r.into {
		if r.pause(peers[1].Account, Write, now) != nil {
			return ByPause
		}
		forSlot = forSlot || !r.free(Write) && p.head(now) != nil
	}
	for peers, p := range r.outOf {
		if r.pause(peers[0].Account, Read, now) != nil {
			return ByPause
		}
		forSlot = forSlot || p.to.free(Write) && r.readers[p.to.name] >= r.limit[Read]
	}
	switch {
	case !forSlot:
		return ""
	case !r.window.probing:
		return ByRefusals
	case r.window.size == r.window.most && r.window.most < mostWindow:
		return ByConnections
	}
	return "" // a window that still grows is not a limit
}
