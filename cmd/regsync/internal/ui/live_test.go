package ui

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// noColor is an environment without colours.
func noColor(name string) (string, bool) { return "1", name == "NO_COLOR" }

// watch plays a story on a terminal and returns what was seen at the given times after its
// beginning, and at the end.
func watch(t *testing.T, v *vt, options Options, tell func(*story), at ...time.Duration) string {
	t.Helper()
	if options.Env == nil {
		options.Env = noColor
	}
	var seen strings.Builder
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Auto, v, options)
		go func() {
			s := &story{t: t, observe: p.Observe}
			s.off()
			tell(s)
		}()
		last := time.Duration(0)
		for _, moment := range at {
			time.Sleep(moment - last + time.Millisecond)
			last = moment + time.Millisecond
			synctest.Wait()
			fmt.Fprintf(&seen, "--- after %v\n%s", moment, v.screen())
		}
		time.Sleep(time.Minute)
		p.Close()
		fmt.Fprintf(&seen, "--- closed\n%s", v.screen())
	})
	v.check(t)
	return seen.String()
}

// check is what holds of every terminal that was given back.
func (v *vt) check(t *testing.T) {
	t.Helper()
	if v.broken > 0 {
		t.Errorf("%d lines were broken", v.broken)
	}
	if v.cursorHidden || v.cut {
		t.Errorf("the cursor is hidden: %v; long lines are cut: %v", v.cursorHidden, v.cut)
	}
	if v.x != 0 {
		t.Errorf("the cursor is in column %d", v.x)
	}
	if len(v.unknown) > 0 {
		t.Errorf("the terminal got %q", v.unknown)
	}
	for _, line := range v.lines[v.y:] {
		if strings.TrimSpace(line) != "" {
			t.Errorf("%q is left below the cursor", line)
		}
	}
}

// several moves three blobs at once, one of them to a name in wide characters.
func several(s *story) {
	job := s.job("nginx:1.25", "harbor.corp:5443/hub/nginx:1.25")
	s.observe(transfer.Planned{Plan: s.plan(job, 1, transfer.ActionAdd, blob(1, 400e6), blob(2, 30e6))})
	wide := reference.Reference{Transport: reference.Layout, Path: "./镜像仓库/很长的目录名称/官方镜像", Tag: "1.25"}
	local := s.job("nginx:1.25", "localhost:5000/nginx:1.25")
	local.Destinations[0] = wide
	s.observe(transfer.Planned{Plan: s.plan(local, 1, transfer.ActionAdd, blob(1, 400e6))})
	go s.move(job.Destinations[0], blob(1, 400e6), 80)
	time.Sleep(time.Microsecond)
	go s.move(wide, blob(1, 400e6), 160)
	time.Sleep(time.Microsecond)
	s.breakOff(job.Destinations[0], blob(2, 30e6), 3*time.Second)
}

func TestLiveCopy(t *testing.T) {
	for _, columns := range []int{140, 100, 80, 60, 40, 20, 8} {
		t.Run(strconv.Itoa(columns), func(t *testing.T) {
			seen := watch(t, newVT(columns, 12), Options{Images: 4}, several, 950*time.Millisecond, 2*time.Second, 6*time.Second)
			golden.File(t, fmt.Sprintf("live-copy-%d", columns), seen)
		})
	}
}

func TestLiveStory(t *testing.T) {
	seen := watch(t, newVT(200, 24), Options{Images: 5}, (*story).tell, time.Second, 6*time.Second)
	golden.File(t, "live-story", seen)
}

func TestLivePush(t *testing.T) {
	seen := watch(t, newVT(80, 24), Options{Style: Pushing}, (*story).nginx, 500*time.Millisecond, 2*time.Second, 6*time.Second)
	golden.File(t, "live-push", seen)
}

func TestLivePull(t *testing.T) {
	seen := watch(t, newVT(100, 24), Options{Style: Pulling}, (*story).nginx, 500*time.Millisecond, 2*time.Second)
	golden.File(t, "live-pull", seen)
}

// many starts more blobs than any window has lines.
func many(s *story) {
	job := s.job("big:1", "localhost:5000/big:1")
	p := s.plan(job, 1, transfer.ActionAdd)
	for n := range 60 {
		p.Destinations[0].Blobs = append(p.Destinations[0].Blobs, blob(n, 1e6))
	}
	s.observe(transfer.Planned{Plan: p})
	for _, d := range p.Destinations[0].Blobs[:40] {
		go s.move(job.Destinations[0], d, 30)
		time.Sleep(time.Microsecond)
	}
}

func TestLiveStaysInTheWindow(t *testing.T) {
	for _, style := range []Style{Copying, Pushing} {
		for _, rows := range []int{1, 2, 3, 8, 50} {
			v := newVT(80, rows)
			seen := watch(t, v, Options{Style: style}, many, 2*time.Second)
			if rows == 8 {
				golden.File(t, fmt.Sprintf("live-many-%d", style), seen)
			}
			for _, line := range v.scrolled {
				if strings.Contains(line, "[") && !strings.Contains(line, "refers to") {
					t.Errorf("style %d, %d rows: %q has scrolled away unfinished", style, rows, line)
				}
			}
		}
	}
}

// A window that changes while lines are drawn leaves no remains of them.
func TestLiveResized(t *testing.T) {
	v := newVT(120, 12)
	seen := watch(t, v, Options{Images: 4}, func(s *story) {
		go several(s)
		for _, size := range [][2]int{{50, 12}, {50, 4}, {90, 20}, {20, 3}, {100, 10}} {
			time.Sleep(300 * time.Millisecond)
			v.resize(size[0], size[1])
		}
	}, 350*time.Millisecond, 650*time.Millisecond, 950*time.Millisecond, 1250*time.Millisecond, 1550*time.Millisecond)
	golden.File(t, "live-resized", seen)
}

// wider is a terminal whose window became narrower after it was asked.
type wider struct{ *vt }

func (w wider) Size() (columns, rows int, err error) {
	columns, rows, err = w.vt.Size()
	return columns + 50, rows, err
}

func TestLiveResizedBehindItsBack(t *testing.T) {
	v := newVT(60, 12)
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Auto, wider{v}, Options{Env: noColor})
		go several(&story{t: t, observe: p.Observe})
		time.Sleep(2 * time.Second)
		p.Close()
		time.Sleep(time.Minute)
	})
	v.check(t)
	if got := v.screen(); got != "\n" {
		t.Errorf("left behind: %s", got)
	}
}

// Ctrl-C: the live lines go, what is finished stays, the cursor is back.
func TestLiveInterrupted(t *testing.T) {
	for _, style := range []Style{Copying, Pushing} {
		v := newVT(120, 12)
		synctest.Test(t, func(t *testing.T) {
			p := NewProgress(Auto, v, Options{Style: style, Env: noColor})
			s := &story{t: t, observe: p.Observe}
			s.off()
			s.alpine()
			go s.nginx()
			time.Sleep(2 * time.Second)
			if !v.cursorHidden {
				t.Error("nothing was drawn")
			}
			p.Close()
			before := v.screen()
			time.Sleep(time.Minute)
			if got := v.screen(); got != before {
				t.Errorf("written after Close: %s", got)
			}
		})
		v.check(t)
		golden.File(t, fmt.Sprintf("live-interrupted-%d", style), v.screen())
	}
}

func TestLiveDrawsOnlyWhatChanges(t *testing.T) {
	v := newVT(80, 12)
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Auto, v, Options{Env: noColor})
		defer p.Close()
		s := &story{t: t, observe: p.Observe}
		job := s.job("nginx", "localhost:5000/nginx")
		s.observe(transfer.Planned{Plan: s.plan(job, 1, transfer.ActionAdd, blob(1, 1e6))})
		s.observe(transfer.BlobStarted{Destination: job.Destinations[0], Descriptor: blob(1, 1e6), Progress: &transfer.Progress{Total: 1e6}})
		time.Sleep(time.Minute)
		synctest.Wait() // it is a moment of drawing, too
		if v.writes != 1 {
			t.Errorf("a standing transfer was drawn %d times, want once", v.writes)
		}
	})
}

func TestLiveColours(t *testing.T) {
	for _, test := range []struct {
		env  func(string) (string, bool)
		want bool
	}{
		{func(string) (string, bool) { return "", false }, true},
		{func(string) (string, bool) { return "", true }, true}, // set but empty
		{noColor, false},
	} {
		v := &recorder{vt: newVT(80, 12)}
		p := NewProgress(Auto, v, Options{Verbose: true, Env: test.env})
		s := &story{t: t, observe: p.Observe}
		s.alpine()
		s.observe(transfer.Warned{Warning: warning.Warning{Err: errDenied}})
		p.Close()
		if got := strings.Contains(v.all.String(), "\x1b[32mmoved\x1b[0m") && strings.Contains(v.all.String(), "\x1b[33mwarning\x1b[0m"); got != test.want {
			t.Errorf("colours: got %v, want %v in %q", got, test.want, v.all.String())
		}
		if strings.Contains(v.all.String(), "owned\a") {
			t.Errorf("the registry's control sequence got through: %q", v.all.String())
		}
	}
}

// recorder keeps every byte that a terminal gets.
type recorder struct {
	*vt
	all  bytes.Buffer
	dumb bool // the kernel begins each line in the first column
}

func (r *recorder) Write(p []byte) (int, error) {
	r.all.Write(p)
	if r.dumb {
		_, _ = r.vt.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
		return len(p), nil
	}
	return r.vt.Write(p)
}

// A log shares the terminal with what is drawn over.
func TestLiveWithLog(t *testing.T) {
	v := newVT(80, 12)
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Auto, v, Options{Env: noColor})
		s := &story{t: t, observe: p.Observe}
		go s.nginx()
		time.Sleep(time.Second)
		fmt.Fprintln(p, "level=DEBUG msg=one\nlevel=DEBUG msg=\x1b[2Jtwo")
		time.Sleep(time.Second)
		p.Close()
		fmt.Fprint(p, "after\r\n")
		time.Sleep(time.Minute)
	})
	v.check(t)
	want := "level=DEBUG msg=one\nlevel=DEBUG msg=\\x1b[2Jtwo\nafter\n"
	if got := v.screen(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
