package limit

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkRelease is what it costs to give a slot back, which goes to the next that waits,
// and to come again, while so many wait.
func BenchmarkRelease(b *testing.B) {
	for _, waiters := range []int{1_000, 16_000} {
		b.Run(fmt.Sprintf("streams/waiters=%d", waiters), func(b *testing.B) {
			l, granted := New(Options{}), make(chan *Slots, 1000)
			enqueue := func(i int) {
				l.Enqueue(&Stream{
					From: Peer{Registry: fmt.Sprint("from", i%4)}, To: Peer{Registry: fmt.Sprint("to", i%2)},
					Group: int64(i / 32), Weight: int64(i * 7919 % 1000), Run: func(slots *Slots, _ error) { granted <- slots },
				})
			}
			for i := range waiters {
				enqueue(i)
			}
			i := waiters
			for b.Loop() {
				(<-granted).Release()
				enqueue(i)
				i++
			}
		})
		b.Run(fmt.Sprintf("small/waiters=%d", waiters), func(b *testing.B) {
			l := New(Options{})
			r := l.registry("a")
			enqueue := func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				r.enqueue(&request{peer: Peer{Registry: "a"}, class: Small}, time.Now())
			}
			for range waiters {
				enqueue()
			}
			for b.Loop() {
				l.mu.Lock()
				r.release(Small, "", 0, time.Now())
				l.mu.Unlock()
				enqueue()
			}
		})
	}
}
