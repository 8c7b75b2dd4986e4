package ui

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// refused moves nothing of a blob for a second, and then waits for the next attempt.
func (s *story) refused(job transfer.Job, d content.Descriptor) {
	to := job.Destinations[0]
	p := &transfer.Progress{Total: d.Size}
	s.observe(transfer.BlobStarted{Destination: to, Descriptor: d, Progress: p})
	time.Sleep(time.Second)
	s.observe(transfer.BlobRetrying{Destination: to, Descriptor: d, Attempt: 1, Wait: 8 * time.Second, Err: syscall.ECONNREFUSED})
	time.Sleep(8 * time.Second)
	p.Add(d.Size)
	s.observe(transfer.BlobDone{Destination: to, Descriptor: d, Outcome: transfer.BlobSent})
}

// layered is an image of 16 layers: two are there, three move at a time, one of them after it was refused.
func layered(job transfer.Job) func(*story, *Progress) {
	return func(s *story, _ *Progress) {
		plan := s.plan(job, 1, transfer.ActionAdd)
		blobs := make(chan content.Descriptor, 16)
		for n := range 16 {
			d := blob(n, int64(2+n%5)*8e6)
			plan.Destinations[0].Blobs = append(plan.Destinations[0].Blobs, d)
			blobs <- d
		}
		close(blobs)
		s.observe(transfer.Queued{Jobs: 1, Complete: true})
		s.observe(transfer.Planned{Plan: plan})
		for range 2 {
			s.observe(transfer.BlobDone{Destination: job.Destinations[0], Descriptor: <-blobs, Outcome: transfer.BlobExists})
		}
		refused := <-blobs
		go s.refused(job, refused)
		time.Sleep(time.Microsecond)
		for range 2 {
			go func() {
				for d := range blobs {
					s.move(job.Destinations[0], d, int(d.Size/1e6)*2)
				}
			}()
			time.Sleep(time.Microsecond)
		}
	}
}

// mirrored is a run of 58 tags in which a registry asks for a pause, a connection is refused, and 14 tags have one
// platform only.
func mirrored(s *story, p *Progress) {
	s.observe(transfer.Queued{Jobs: 58, Complete: true})
	plans := make(chan *transfer.Plan, 58)
	for n := range 58 {
		job := s.job(fmt.Sprintf("team/app%d:1.%d", n%4, n), fmt.Sprintf("harbor.corp:5443/mirror/team/app%d:1.%d", n%4, n))
		plan := s.plan(job, n, transfer.ActionAdd, blob(1000+n%4, 9e6), blob(n, int64(1+n%5)*3e5), config(2000+n))
		s.observe(transfer.Planned{Plan: plan})
		plans <- plan
	}
	close(plans)
	first := <-plans
	go func() {
		s.refused(first.Job, blob(1000, 9e6))
		s.done(first, 0, nil)
	}()
	time.Sleep(time.Microsecond)
	p.Paused(Pause{Registry: "registry-1.docker.io", Until: time.Now().Add(9 * time.Second), Status: 429, Asked: true})
	var mu sync.Mutex
	base := map[int]bool{0: true}
	sent := func(n int) bool { // reports whether base layer n is there or on its way, which it is from now on
		mu.Lock()
		defer mu.Unlock()
		was := base[n]
		base[n] = true
		return was
	}
	for range 3 {
		go func() {
			for plan := range plans {
				n := int(plan.Destinations[0].Blobs[1].Size/3e5) - 1
				for i, d := range plan.Destinations[0].Blobs {
					if i == 0 && sent(n) {
						s.observe(transfer.BlobDone{Destination: plan.Job.Destinations[0], Descriptor: d, Outcome: transfer.BlobMounted, From: "mirror/team/app"})
						continue
					}
					s.move(plan.Job.Destinations[0], d, max(int(d.Size/1e5), 1))
				}
				var warnings []warning.Warning
				if n == 2 {
					warnings = []warning.Warning{{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}}}
				}
				s.done(plan, 1, nil, warnings...)
			}
		}()
		time.Sleep(time.Microsecond)
	}
}

// TestScreens draws what people see of pull, push and sync while they run and at the end, on windows of usual sizes, on a
// terminal that cannot be drawn on, and on one that wants no colours.
func TestScreens(t *testing.T) {
	s := &story{t: t}
	for command, c := range map[string]struct {
		options Options
		play    func(*story, *Progress)
	}{
		"pull": {Options{Style: Pulling, Images: 1}, layered(s.job("nginx:1.25", "localhost/library/nginx:1.25"))},
		"push": {Options{Style: Pushing, Images: 1}, layered(s.job("harbor.corp:5443/team/app:1.1", "harbor.corp:5443/team/app:1.1"))},
		"sync": {Options{Report: true}, mirrored},
	} {
		for screen, size := range map[string][2]int{"80x24": {80, 24}, "40x12": {40, 12}, "80x24-no-color": {80, 24}, "80x24-dumb": {80, 24}} {
			v := &recorder{vt: newVT(size[0], size[1]), dumb: strings.HasSuffix(screen, "dumb")}
			c.options.Env = func(name string) (string, bool) {
				switch {
				case name == "NO_COLOR" && strings.HasSuffix(screen, "no-color"):
					return "1", true
				case name == "TERM" && v.dumb:
					return "dumb", true
				}
				return "", false
			}
			seen := showScreens(t, v, c.options, c.play)
			golden.File(t, "screen-"+command+"-"+screen, seen)
			if strings.HasSuffix(screen, "no-color") && colour.Match(v.all.Bytes()) {
				t.Errorf("%s: colours on a terminal that wants none", screen)
			}
			v.broken = 0 // lines that stay may be longer than a window is wide
			v.check(t)
		}
	}
}

var colour = regexp.MustCompile("\x1b\\[3[0-9]m")

func showScreens(t *testing.T, v *recorder, options Options, play func(*story, *Progress)) string {
	t.Helper()
	var seen strings.Builder
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(Auto, v, options)
		r := report.New("sync", time.Now(), report.Options{Text: WarningText, Entries: []string{"web"}})
		s := &story{t: t, observe: func(e transfer.Event) {
			if done, ok := e.(transfer.JobDone); ok {
				r.Add(done.Result)
			}
			p.Observe(e)
		}}
		s.off()
		play(s, p)
		last := time.Duration(0)
		for _, moment := range []time.Duration{2 * time.Second, 8 * time.Second, 20 * time.Second} {
			time.Sleep(moment - last + time.Millisecond)
			last = moment + time.Millisecond
			synctest.Wait()
			fmt.Fprintf(&seen, "--- after %v\n%s", moment, v.screen())
		}
		time.Sleep(40 * time.Second)
		p.Close()
		if options.Report {
			r.Finish(time.Now(), nil, nil)
			var text strings.Builder
			if err := WriteReport(&text, r, Summary, ""); err != nil {
				t.Error(err)
			}
			_, _ = v.vt.Write([]byte(strings.ReplaceAll(text.String(), "\n", "\r\n")))
		}
		fmt.Fprintf(&seen, "--- at the end\n%s", v.screen())
	})
	return seen.String()
}
