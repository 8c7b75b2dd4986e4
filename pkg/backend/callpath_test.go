package backend_test

import (
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/transfer"
)

var (
	goroutineHead = regexp.MustCompile(`^goroutine (\d+) `)
	createdBy     = regexp.MustCompile(`^created by .* in goroutine (\d+)$`)
	ourFrame      = regexp.MustCompile(`^github\.com/regsync/regsync/(.*)\([^()]*\)$`)
)

// callPath returns the project's stack frames, without tests, from the outermost one to the call of net/http for a
// PUT, across goroutines.
func callPath() (frames []string) {
	type goroutine struct {
		parent string
		frames []string
	}
	all, sender := map[string]goroutine{}, ""
	buffer := make([]byte, 1<<20)
	for text := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		head := goroutineHead.FindStringSubmatch(lines[0])
		if head == nil {
			continue
		}
		var g goroutine
		for i, line := range lines {
			if by := createdBy.FindStringSubmatch(line); by != nil {
				g.parent = by[1]
				break
			}
			if strings.HasPrefix(line, "net/http.(*Transport).RoundTrip(") && strings.Contains(text, "upload).Commit") {
				sender = head[1]
			}
			if f := ourFrame.FindStringSubmatch(line); f != nil && !strings.Contains(lines[i+1], "_test.go:") {
				g.frames = append([]string{f[1]}, g.frames...)
			}
		}
		all[head[1]] = g
	}
	for g, known := all[sender]; known && len(g.frames) > 0; g, known = all[g.parent] {
		if len(frames) == 0 || g.frames[0] != frames[0] { // equal if this blob took the slots that another one freed
			frames = append(g.frames, frames...)
		}
	}
	return frames
}

// The call path of a blob from the engine's Run to net/http has few frames, so that a reader can follow it.
func TestCallPathOfABlobIsShort(t *testing.T) {
	const most = 18 // there are two more from the copy command to Run
	from, to := registrytest.New(t), registrytest.New(t)
	from.Push("team/app", "1", registrytest.Image(registrytest.ImageSpec{}))
	var once sync.Once
	var frames []string
	to.Fail(func(req *http.Request) *registrytest.Fault {
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/uploads/") {
			once.Do(func() { frames = callPath() })
		}
		return nil
	})
	if err := newCopies(t, transfer.Options{}).run(from.Reference("team/app", "1"), to.Reference("team/app", "1")); err != nil {
		t.Fatal(err)
	}
	if len(frames) == 0 || len(frames) > most {
		t.Errorf("%d frames, want at most %d:\n%s", len(frames), most, strings.Join(frames, "\n"))
	}
}
