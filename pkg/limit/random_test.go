package limit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gauge counts the slots in use as their holders see it.
type gauge struct {
	t     *testing.T
	l     *Limiter
	mu    sync.Mutex
	inUse map[string]*[windows]int
	full  int // how often a window was
}

func (g *gauge) add(registry string, c Class, n int) {
	if registry == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.inUse[registry]
	if at == nil {
		at = &[windows]int{}
		g.inUse[registry] = at
	}
	at[c.window()] += n
	total := newWindow(g.l.options.MaxConnections(registry)).most
	limit := divide(total) // the window may grow to it
	switch used := at[Read] + at[Write] + at[Small]; {
	case at[c.window()] > limit[c.window()] || at[c.window()] < 0 || used > total:
		g.t.Errorf("%s: %v slots are in use, of %v and %d", registry, *at, limit, total)
	case at[c.window()] == limit[c.window()] || used == total:
		g.full++
	}
}

// Many blobs and requests between many registries, in all directions, some of which are
// withdrawn, end early or meet registries that fail or want to be left alone: no more slots
// are in use than there are, everything ends, and nothing stays behind.
func TestRandomWork(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { work(t, rand.New(rand.NewPCG(seed, 1)), seed%2 == 1) })
		})
	}
}

// work runs two thousand streams and as many requests.
func work(t *testing.T, dice *rand.Rand, trouble bool) {
	names := []string{"", "a", "b", "c", "d", "e"}
	l := New(Options{MaxConnections: func(registry string) int {
		return map[string]int{"a": 3, "b": 4, "c": 7, "d": 30}[registry]
	}})
	g := &gauge{t: t, l: l, inUse: map[string]*[windows]int{}}
	peer := func() Peer {
		return Peer{Registry: names[dice.IntN(len(names))], Account: []string{"x", "y"}[dice.IntN(2)]}
	}
	answer := func(p Peer, c Class, n int) {
		reply := Answer{Peer: p, Class: c, Item: fmt.Sprint(n % 50), Status: 200}
		switch {
		case !trouble:
		case n%7 == 0:
			reply.Status, reply.Err = 0, errors.New("broke")
		case n%97 == 0:
			reply.Status, reply.RetryAfter = 429, time.Duration(n%300)*time.Second
		case n%31 == 0:
			reply.Status, reply.RetryAfter = 503, time.Duration(n%100)*time.Second
		}
		if p.Registry == "e" && trouble && n%500 < 480 {
			reply.Status = 502
		}
		l.Report(reply)
	}

	var all sync.WaitGroup
	start := time.Now()
	for n := range 2000 {
		from, to, other := peer(), peer(), peer()
		late, takes := time.Duration(dice.IntN(60_000))*time.Millisecond, time.Duration(dice.IntN(2000))*time.Millisecond
		all.Add(1)
		s := &Stream{From: from, To: to, Group: int64(n / 32), Weight: dice.Int64N(9), Run: func(slots *Slots, err error) {
			defer all.Done()
			if err != nil {
				return
			}
			stream(g, slots, from, to, other, takes, func() { answer(to, Write, n) })
		}}
		time.AfterFunc(late, func() {
			l.Enqueue(s)
			switch {
			case n%5 == 0:
				time.AfterFunc(takes, func() {
					if l.Withdraw(s) {
						all.Done()
					}
				})
			case n%7 == 0:
				l.Reorder(s, 0, int64(n))
			}
		})
		p, class, patience := peer(), Class(dice.IntN(4)), time.Duration(dice.IntN(120))*time.Second
		all.Go(func() {
			time.Sleep(late)
			ctx, cancel := context.WithCancel(context.Background())
			if n%3 == 0 {
				ctx, cancel = context.WithTimeout(ctx, patience)
			}
			defer cancel()
			release, err := l.Acquire(ctx, p, class)
			if err != nil {
				return
			}
			g.add(p.Registry, class, 1)
			time.Sleep(takes)
			answer(p, class, n)
			g.add(p.Registry, class, -1)
			release()
		})
	}
	all.Wait()
	if took := time.Since(start); took > time.Hour {
		t.Errorf("took %v", took)
	}
	if g.full < 1000 {
		t.Errorf("a window was full %d times: the test proves nothing", g.full)
	}
	requireIdle(t, l)
}

// stream is a blob that is asked for, read, and perhaps read from elsewhere.
func stream(g *gauge, slots *Slots, from, to, other Peer, takes time.Duration, answered func()) {
	g.add(to.Registry, Write, 1)
	defer slots.Release()
	defer g.add(to.Registry, Write, -1)
	time.Sleep(takes / 4)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if slots.Read(ctx, from) != nil {
		return
	}
	g.add(from.Registry, Read, 1)
	time.Sleep(takes / 2)
	if takes%2 == 0 {
		g.add(from.Registry, Read, -1)
		if from = other; !slots.Move(other) {
			slots.ReleaseRead()
			return
		}
		g.add(from.Registry, Read, 1)
	}
	answered()
	g.add(from.Registry, Read, -1)
}
