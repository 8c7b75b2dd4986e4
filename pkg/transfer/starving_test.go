package transfer

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// Half of a source's images go to one destination, and the other half to another one, which
// hangs at the end of each blob, or is slow: its streams do not take all read slots of the
// source, so that the first gets what it gets when both are quick.
func TestBusyDestinationLeavesReadSlots(t *testing.T) {
	t.Parallel()
	measure := func(t *testing.T, disturb func(*crowd)) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, []string{"a.test"}, []string{"busy.test", "b.test"}, 100*time.Millisecond)
			c.jobs = c.jobs[:600]
			for n := range c.jobs {
				c.jobs[n].Destinations = c.jobs[n].Destinations[n%2 : n%2+1]
			}
			c.healthy = func(d DestinationResult, _ Job) bool { return d.Reference.Registry == "b.test" }
			disturb(c)
			took = c.took(t)
		})
		return took
	}
	quick := measure(t, func(*crowd) {})
	for name, disturb := range map[string]func(*crowd){
		"hangs": func(c *crowd) { c.hangs("busy.test", "commit") },
		"slow": func(c *crowd) {
			c.world.at("busy.test/app").onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
				time.Sleep(time.Minute)
				return r, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Beside a quick one they have all slots at the end, and the first streams may be the
			// busy one's: they are not interrupted.
			if took := measure(t, disturb); took > 2*quick {
				t.Errorf("the images of the other destination took %v, want at most twice the %v that they take beside a quick one", took, quick)
			}
		})
	}
}
