package figures

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// opposite copies 20 images from A to B and 20 from B to A in one run, with three
// connections to each: streams that held one slot while they waited for the other would
// wait for ever.
func (b *bench) opposite(t *testing.T) {
	one, other := lab.StartRegistry(t, b.registry), lab.StartRegistry(t, b.registry)
	var config strings.Builder
	fmt.Fprintf(&config, "version: 1\nregistries:\n  %q: {maxConnections: 3}\n  %q: {maxConnections: 3}\nsync:\n", one, other)
	const each = 20
	var there []string
	for i := range each {
		for side, way := range [][2]string{{one, other}, {other, one}} {
			name := fmt.Sprintf("/side%d/image%d:1", side, i)
			lab.Push(t, way[0]+name, lab.Image(t, "linux/amd64", lab.Layer(t, uint64(1000+2*i+side), 2_000_000)))
			fmt.Fprintf(&config, "  - {from: %q, to: %q}\n", way[0]+name, way[1]+name)
			there = append(there, way[1]+name)
		}
	}
	shell := lab.NewShell(t, b.regsync)
	shell.Regsync(t, "sync", "-c", shell.Write(t, "sync.yaml", config.String()))
	arrived := 0
	for _, ref := range there {
		if lab.Digest(t, ref) != "" {
			arrived++
		}
	}
	exactly(t, b, "20 streams each way, maxConnections 3: images that arrive", arrived, 2*each)
}
