package limit

import "time"

// Cause is why requests wait.
type Cause string

// The causes.
const (
	ByConnections Cause = "maxConnections"    // the configuration allows no more requests in flight
	ByRefusals    Cause = "429"               // the registry refused more requests in flight
	ByPause       Cause = "pause"             // the registry requested one, or refuses requests
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

type waits struct {
	n     int       // how many wait now
	since time.Time // when n changed last
	total time.Duration
}

func (w waits) until(now time.Time) time.Duration {
	if w.n == 0 {
		return w.total
	}
	return w.total + now.Sub(w.since)
}

// addWait records that a wait for a limit begins, or ends if n is -1.
func (r *registry) addWait(c Cause, n int, now time.Time) {
	w := r.waits[c]
	r.waits[c] = waits{n: w.n + n, since: now, total: w.until(now)}
}

func (r *registry) noteBound(now time.Time) {
	bound := r.bindingLimit(now)
	if bound == r.bound {
		return
	}
	if r.bound != "" {
		r.addWait(r.bound, -1, now)
	}
	if r.bound = bound; bound != "" {
		r.addWait(bound, 1, now)
	}
}

// bindingLimit returns the limit that something waits for now; empty if nothing does, or the registry is down.
func (r *registry) bindingLimit(now time.Time) Cause {
	switch wants := r.wants(now); {
	case wants.pauseEnd:
		return ByPause
	case wants.rate:
		return ByRequests
	case !wants.slot, r.window.size >= mostWindow:
		return ""
	case r.window.size == r.window.most:
		return ByConnections
	case !r.window.probing:
		return ByRefusals
	}
	return "" // a window that still grows is no limit
}

// wants is what the requests and streams that wait need in order to go.
type wants struct{ slot, pauseEnd, rate bool }

func (r *registry) wants(now time.Time) (w wants) {
	if r.health.isDown(now) {
		return w
	}
	for _, b := range r.budgets {
		w.pauseEnd = w.pauseEnd || b.waiting > 0 && b.awaited(now)
	}
	if r.waiting == 0 {
		return w
	}
	for key := range r.queues {
		switch {
		case r.pause(key.account, key.class, now) != nil:
			w.pauseEnd = true
		case key.rated() && !r.pace.Load().allowsRequest(now):
			w.rate = true
		case key.class != Pull || r.budget(key.account).admits(key.reserved, now):
			w.slot = true
		case r.budget(key.account).awaited(now):
			w.pauseEnd = true
		}
	}
	for peers, p := range r.into {
		w.pauseEnd = w.pauseEnd || r.pause(peers[1].Account, Write, now) != nil
		w.slot = w.slot || !r.free(Write) && !r.sharesLine() && p.head(now) != nil
	}
	for peers, p := range r.outOf {
		w.pauseEnd = w.pauseEnd || r.pause(peers[0].Account, Read, now) != nil
		w.slot = w.slot || p.to.free(Write) && r.readers[p.to.name] >= r.limit[Read]
	}
	return w
}
