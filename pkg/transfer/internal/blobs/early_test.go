package blobs

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
)

// A small blob is opened at its source during the check once eight checks in a row found none. A blob that exists ends
// this, so that only one is read in vain.
func TestSourceIsOpenedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.options.Limiter = limit.New(limit.Options{MaxConnections: func(string) int { return 3 }}) // one stream at a time
		from, to := b.at(t, "a.test", "app"), b.at(t, "b.test", "app")
		fetched := 0
		from.fail = func(what string) error {
			if what == "fetch" {
				fetched++
			}
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		to.fail = func(string) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		n := 0
		bring := func(there bool) (took time.Duration) {
			t.Helper()
			n++
			blob := contenttest.NewLayer(fmt.Sprint(n), 1000)
			blob.Push(t, from.MemoryRepository)
			if there {
				blob.Push(t, to.MemoryRepository)
			}
			began := time.Now()
			if err := b.bring(t, from, to, blob); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		const trips = 100 * time.Millisecond
		for i := range 12 {
			want := 3 * trips
			if i >= enoughAbsent {
				want = 2 * trips
			}
			if took := bring(false); took != want {
				t.Errorf("blob %d took %v, want %v", i, took, want)
			}
		}
		before := fetched
		for range 3 {
			bring(true)
		}
		if fetched != before+1 {
			t.Errorf("%d blobs that exist were read, want 1", fetched-before)
		}
		if took := bring(false); took != 3*trips {
			t.Errorf("after blobs that exist, one took %v, want %v", took, 3*trips)
		}
		b.Close()
	})
}
