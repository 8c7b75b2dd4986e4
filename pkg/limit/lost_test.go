package limit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var errGone = errors.New("connection refused")

func failFive(l *Limiter, p Peer) {
	for i := range 5 {
		l.Report(Answer{Peer: p, Class: Small, Item: fmt.Sprint(i), Err: errGone})
	}
}

// A test that ends without an answer leaves the next one to others at once, and is not waited
// for until the registry is given up.
func TestProbeWithoutAnAnswer(t *testing.T) {
	a, b := Peer{Registry: "a.test"}, Peer{Registry: "b.test"}
	for name, test := range map[string]func(l *Limiter){
		"a stream that was mounted": func(l *Limiter) {
			l.Enqueue(&Stream{From: a, To: b, Run: func(s *Slots, err error) {
				time.Sleep(20 * time.Second)
				s.Release()
			}})
		},
		"a request that was cancelled": func(l *Limiter) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			go func() {
				defer cancel()
				release, err := l.Acquire(ctx, a, Small)
				if err == nil {
					<-ctx.Done()
					release()
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				failFive(l, a)
				start := time.Now()
				test(l)
				time.Sleep(2 * time.Second) // it has begun
				done := make(chan error, 1)
				var took time.Duration
				l.Enqueue(&Stream{From: a, To: b, Run: func(s *Slots, err error) {
					took = time.Since(start)
					s.Release()
					done <- err
				}})
				err := <-done
				t.Logf("after %v: %v", took, err)
				if err != nil || took > 40*time.Second {
					t.Errorf("the next test began after %v (%v), want soon after 20 s", took, err)
				}
			})
		})
	}
}
