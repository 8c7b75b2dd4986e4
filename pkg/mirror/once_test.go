package mirror

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestOnce: many ask, one is answered for all; who gives up leaves the question to the
// others.
func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var questions once[string, int]
		asked := 0
		ask := func(ctx context.Context) (int, error) {
			return questions.ask(ctx, "x", func() (int, error) {
				asked++
				select {
				case <-time.After(time.Minute):
					return asked, nil
				case <-ctx.Done():
					return 0, context.Cause(ctx)
				}
			})
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := ask(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			asking.Go(func() {
				if got, err := ask(t.Context()); got != 2 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
			})
		}
		asking.Wait()
		if asked != 2 {
			t.Errorf("asked %d times, want 2", asked)
		}
	})
}

// TestOnceKeepsNoError: what failed is asked again by the next.
func TestOnceKeepsNoError(t *testing.T) {
	var questions once[string, int]
	if _, err := questions.ask(t.Context(), "x", func() (int, error) { return 0, errors.New("HTTP 500") }); err == nil {
		t.Error("no error")
	}
	if got, err := questions.ask(t.Context(), "x", func() (int, error) { return 7, nil }); got != 7 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
}
