// Package gate limits how many requests are in flight to a registry: reads, writes and
// small requests, apart.
//
// A slot belongs to a request in flight. Whoever waits holds none: a stream takes its read
// and its write slot together or takes neither, so that streams in opposite directions
// cannot block each other.
package gate

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Limits are the slots of each class at one registry; 16 where zero.
type Limits struct {
	Reads, Writes, Small int
}

const defaultSlots = 16

// LimitsFor divides a cap on connections among the classes; each gets at least one, so
// that a cap below 3 counts as 3. Zero is no cap.
func LimitsFor(maxConnections int) Limits {
	if maxConnections <= 0 {
		return Limits{}
	}
	n := max(maxConnections, 3)
	small := max(1, n/4)
	writes := max(1, (n-small)/2)
	return Limits{Reads: n - small - writes, Writes: writes, Small: small}
}

// Gate has the slots of all registries. It may be used concurrently.
type Gate struct {
	limits func(registry string) Limits

	mu         sync.Mutex
	registries map[string]*slots
	waiting    []*waiter // by weight, then by arrival
	arrivals   int64
}

// slots are those in use at one registry.
type slots struct {
	limits Limits
	reads  int
	writes int
	small  int
	// writesFrom counts the write slots by the registry that the stream reads.
	writesFrom map[string]int
}

// waiter wants slots.
type waiter struct {
	read, write, small string
	weight             int64
	arrival            int64
	granted            chan struct{}
}

// New makes a gate. limits is asked once for each registry; nil gives each the default.
func New(limits func(registry string) Limits) *Gate {
	if limits == nil {
		limits = func(string) Limits { return Limits{} }
	}
	return &Gate{limits: limits, registries: map[string]*slots{}}
}

// Acquire waits for a read slot at one registry and a write slot at another, which may be
// the same; an empty name asks for none at that side. Of those that wait, the one with the
// larger weight goes first, then the one that came first; one that cannot go holds up
// nobody. No registry that is read gets more than half of the write slots of another while
// streams from elsewhere wait for those. release may be called more than once. The error is
// ctx's cause.
func (g *Gate) Acquire(ctx context.Context, read, write string, weight int64) (release func(), err error) {
	return g.acquire(ctx, &waiter{read: read, write: write, weight: weight})
}

// Small waits for the slot of a small request: a manifest, a tag, the opening of an upload.
func (g *Gate) Small(ctx context.Context, registry string) (release func(), err error) {
	return g.acquire(ctx, &waiter{small: registry})
}

func (g *Gate) acquire(ctx context.Context, w *waiter) (func(), error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w.granted = make(chan struct{})
	g.mu.Lock()
	g.arrivals++
	w.arrival = g.arrivals
	at, _ := slices.BinarySearchFunc(g.waiting, w, order)
	g.waiting = slices.Insert(g.waiting, at, w)
	g.grant()
	g.mu.Unlock()

	select {
	case <-w.granted:
	case <-ctx.Done():
		if g.withdraw(w) {
			return nil, context.Cause(ctx)
		}
	}
	return sync.OnceFunc(func() { g.release(w) }), nil
}

func order(a, b *waiter) int {
	return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.arrival, b.arrival))
}

// withdraw takes a waiter back; it fails where the slots were granted already.
func (g *Gate) withdraw(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.waiting, w)
	if at < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, at, at+1)
	g.grant() // its share of the write slots may go to others now
	return true
}

func (g *Gate) release(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(w, -1)
	g.grant()
}

// grant lets go whoever can. It looks from the front again after each, because one that
// was too greedy while another waited may go when that one has gone. g.mu is held.
func (g *Gate) grant() {
	for {
		at := slices.IndexFunc(g.waiting, g.free)
		if at < 0 {
			return
		}
		w := g.waiting[at]
		g.waiting = slices.Delete(g.waiting, at, at+1)
		g.count(w, 1)
		close(w.granted)
	}
}

// free reports whether w could go now. g.mu is held.
func (g *Gate) free(w *waiter) bool {
	if w.small != "" {
		s := g.at(w.small)
		return s.small < s.limits.Small
	}
	if w.read != "" {
		if s := g.at(w.read); s.reads >= s.limits.Reads {
			return false
		}
	}
	if w.write == "" {
		return true
	}
	s := g.at(w.write)
	return s.writes < s.limits.Writes && !g.greedy(w, s)
}

// greedy reports whether a stream would take more than its source's half of the write
// slots while others wait that have not had theirs: an odd slot is not left idle.
func (g *Gate) greedy(w *waiter, s *slots) bool {
	half := max(1, s.limits.Writes/2)
	if s.writesFrom[w.read] < half {
		return false
	}
	return slices.ContainsFunc(g.waiting, func(other *waiter) bool {
		return other.write == w.write && s.writesFrom[other.read] < half && g.readable(other)
	})
}

// readable reports whether only the write slot is missing.
func (g *Gate) readable(w *waiter) bool {
	if w.read == "" {
		return true
	}
	s := g.at(w.read)
	return s.reads < s.limits.Reads
}

func (g *Gate) count(w *waiter, n int) {
	if w.small != "" {
		g.at(w.small).small += n
		return
	}
	if w.read != "" {
		g.at(w.read).reads += n
	}
	if w.write != "" {
		s := g.at(w.write)
		s.writes += n
		s.writesFrom[w.read] += n
	}
}

func (g *Gate) at(registry string) *slots {
	s := g.registries[registry]
	if s == nil {
		limits := g.limits(registry)
		s = &slots{
			limits: Limits{
				Reads:  cmp.Or(limits.Reads, defaultSlots),
				Writes: cmp.Or(limits.Writes, defaultSlots),
				Small:  cmp.Or(limits.Small, defaultSlots),
			},
			writesFrom: map[string]int{},
		}
		g.registries[registry] = s
	}
	return s
}
