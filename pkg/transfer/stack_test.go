package transfer

import (
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// goroutine is one of those that runtime.Stack tells of.
type goroutine struct {
	id, parent string
	frames     []string // functions of this module outside of tests, the outermost first
}

var (
	goroutineHead = regexp.MustCompile(`^goroutine (\d+) `)
	createdBy     = regexp.MustCompile(`^created by .* in goroutine (\d+)$`)
	calledFrame   = regexp.MustCompile(`^(github\.com/regsync/regsync/.*)\([^()]*\)$`)
)

// goroutines are all there are, by number. The first one is the caller's.
func goroutines(t *testing.T) (all map[string]goroutine, caller string) {
	t.Helper()
	buffer := make([]byte, 1<<20)
	n := runtime.Stack(buffer, true)
	if n == len(buffer) {
		t.Fatalf("the stacks take more than %d bytes", n)
	}
	all = map[string]goroutine{}
	for text := range strings.SplitSeq(strings.TrimSpace(string(buffer[:n])), "\n\n") {
		lines := strings.Split(text, "\n")
		head := goroutineHead.FindStringSubmatch(lines[0])
		if head == nil {
			t.Fatalf("no goroutine: %q", lines[0])
		}
		g := goroutine{id: head[1]}
		for i, line := range lines[1:] {
			if by := createdBy.FindStringSubmatch(line); by != nil {
				g.parent = by[1]
				break
			}
			// The line after a function is its place.
			if f := calledFrame.FindStringSubmatch(line); f != nil && !strings.Contains(lines[i+2], "_test.go:") {
				g.frames = append([]string{strings.TrimPrefix(f[1], "github.com/regsync/regsync/")}, g.frames...)
			}
		}
		all[g.id] = g
		if caller == "" {
			caller = g.id
		}
	}
	return all, caller
}

// A reader follows one blob below [Engine.Run] to the destination's Commit: through the
// goroutine of the delivery, which waits for the blob, and that of the blob, in few frames.
func TestWayOfABlobIsShort(t *testing.T) {
	const mostFrames, mostHandOffs = 10, 2
	w := newWorld()
	contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 5000)).Push(t, w.at("a.test/app").MemoryRepository, "1")
	var way []goroutine // the outermost first
	var once sync.Once
	w.at("b.test/app").onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
		once.Do(func() {
			for range 1000 { // until the delivery waits for its blobs
				if way = wayHere(t); slices.ContainsFunc(way, goroutine.waits) {
					break
				}
				runtime.Gosched()
			}
		})
		return r, nil
	}
	ok(t, run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))...)
	if !slices.ContainsFunc(way, goroutine.waits) {
		t.Fatal("no goroutine on the way waits for the blob")
	}
	frames := 0
	var list strings.Builder
	for n, g := range way[1:] { // below Run
		fmt.Fprintf(&list, "\nhand-off %d", n+1)
		for _, f := range g.frames {
			frames++
			fmt.Fprintf(&list, "\n  %2d %s", frames, f)
		}
	}
	if handOffs := len(way) - 1; frames > mostFrames || handOffs > mostHandOffs {
		t.Errorf("%d frames and %d hand-offs below Run, want at most %d and %d:%s", frames, handOffs, mostFrames, mostHandOffs, list.String())
	}
}

// wayHere are the goroutines that this one comes from, from that of Run down.
func wayHere(t *testing.T) []goroutine {
	t.Helper()
	all, id := goroutines(t)
	var way []goroutine
	for g, known := all[id]; known && len(g.frames) > 0; g, known = all[g.parent] {
		way = append([]goroutine{g}, way...)
	}
	return way
}

// waits reports whether a goroutine waits for a blob of a delivery.
func (g goroutine) waits() bool {
	return len(g.frames) > 0 && strings.HasSuffix(g.frames[len(g.frames)-1], "(*Delivery).Wait")
}
