package blobs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/limit"
)

// A registry that loses uploads again and again is one that does not keep them; one that loses several at
// once was restarted.
func TestLostUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(t.Context(), Options{Limiter: limit.New(limit.Options{}), Observer: &nobody{}})
		r := &registry{name: "a.example"}
		c := continuation{q, &want{item: &item{registry: r}}}
		for range 5 {
			c.noteCut(false)
		}
		if r.cut != unknown {
			t.Errorf("lost at once: %v, want unknown", r.cut)
		}
		time.Sleep(2 * lostApart)
		c.noteCut(true)
		c.noteCut(false)
		if r.cut != yes {
			t.Errorf("kept in between: %v, want yes", r.cut)
		}
		time.Sleep(2 * lostApart)
		c.noteCut(false)
		if r.cut != no || !r.cutTold {
			t.Errorf("lost twice: %v, told %v, want no", r.cut, r.cutTold)
		}
	})
}
