package flight_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/flight"
)

// An entry has its timeout while it brings a signature that another one waits for: the
// work goes on for that one. Whoever has left once looked at what the work still wrote.
func TestMemoOutlivesItsFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m flight.Memo[string, int]
		var running, callers sync.WaitGroup
		work := func(ctx context.Context) (int, error) { return 7, pause(ctx, time.Minute) }
		first, timeout := context.WithTimeout(t.Context(), time.Second)
		defer timeout()
		callers.Go(func() {
			if _, mine, err := m.Do(first, &running, "signature", work); !mine || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first caller: mine %t, %v", mine, err)
			}
		})
		synctest.Wait()
		if value, mine, err := m.Do(t.Context(), &running, "signature", work); value != 7 || mine || err != nil {
			t.Errorf("the second caller: %d, mine %t, %v", value, mine, err)
		}
		callers.Wait()
		running.Wait()
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TestMemoKeepsNoError: what failed is done again for the next, what was done is not.
func TestMemoKeepsNoError(t *testing.T) {
	var m flight.Memo[string, int]
	var running sync.WaitGroup
	did := 0
	do := func(err error) (int, error) {
		value, _, err := m.Do(t.Context(), &running, "x", func(context.Context) (int, error) {
			did++
			return did, err
		})
		return value, err
	}
	if _, err := do(errors.New("HTTP 500")); err == nil {
		t.Error("no error")
	}
	for range 2 {
		if got, err := do(nil); got != 2 || err != nil {
			t.Errorf("got %d, %v, want what was done the second time", got, err)
		}
	}
}

// TestMemoIsSharedByMany: many ask, one is answered for all; work that nobody waits for any
// more is cancelled, and not what the next one gets.
func TestMemoIsSharedByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m flight.Memo[string, int]
		var running, callers sync.WaitGroup
		did := 0
		work := func(ctx context.Context) (int, error) {
			did++
			return 7, pause(ctx, time.Minute)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := m.Do(short, &running, "x", work); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		for range 10 {
			callers.Go(func() {
				if got, _, err := m.Do(t.Context(), &running, "x", work); got != 7 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
			})
		}
		callers.Wait()
		running.Wait()
		if did != 2 {
			t.Errorf("done %d times, want 2", did)
		}
	})
}
