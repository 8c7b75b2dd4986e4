package transfer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/retry"
)

// An entry has its timeout while it brings a signature that another one waits for: the
// work goes on for that one. Whoever has left once looked at what the work still wrote.
func TestMemoOutlivesItsFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[string, int]
		var running, callers sync.WaitGroup
		work := func(ctx context.Context) (int, error) { return 7, retry.Sleep(ctx, time.Minute) }
		first, timeout := context.WithTimeout(t.Context(), time.Second)
		defer timeout()
		callers.Go(func() {
			if _, mine, err := m.do(first, &running, "signature", work); !mine || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first caller: mine %t, %v", mine, err)
			}
		})
		synctest.Wait()
		if value, mine, err := m.do(t.Context(), &running, "signature", work); value != 7 || mine || err != nil {
			t.Errorf("the second caller: %d, mine %t, %v", value, mine, err)
		}
		callers.Wait()
		running.Wait()
	})
}
