package transfer_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer"
)

const (
	// mostMemory is how much memory a hostile registry may cost, in bytes. Its own is part of what is measured.
	mostMemory = 96 << 20
	// mostGoroutines is how many goroutines it may cost at a time, its own included.
	mostGoroutines = 400
	// hostileSpool bounds the spools, in bytes. The manifests of an image may be in a file, too.
	hostileSpool, manifestsOnDisk = 4 << 20, 16 << 20
	// longestError is how long the text of an error may be, in bytes.
	longestError = 4 << 10
	// identityToken is sent in the body of requests for tokens.
	identityToken = `planted "identity"&token`
)

// defence is the expected end of an attack.
type defence struct {
	name string
	// fails reports whether the error is the one that the attack ends with.
	fails func(error) bool
	// within is the time that the end may take; 5 s if zero.
	within time.Duration
}

// either matches the errors that one of several functions matches.
func either(of ...func(error) bool) func(error) bool {
	return func(err error) bool { return slices.ContainsFunc(of, func(f func(error) bool) bool { return f(err) }) }
}

// unanswered matches the error of a request that got no answer and is not sent again.
func unanswered(err error) bool {
	_, is := errors.AsType[*registry.ConnectionError](err)
	return is && !retry.Retryable(err)
}

// lasting matches errors that are not retried.
func lasting(err error) bool { return err != nil && !retry.Retryable(err) }

// harmless matches success.
func harmless(err error) bool { return err == nil }

// defences are those that do not end with a content.ErrInvalid within 5 s.
var defences = []defence{
	{"manifest-cut", is(io.ErrUnexpectedEOF), 2 * time.Minute},
	{"manifest-other-digest", is(content.ErrMismatch), 0},
	{"manifest-media-type", harmless, 0},
	{"index-itself", is(content.ErrMismatch), 0},
	{"referrers-many", harmless, 0},
	{"size-100tib", is(content.ErrMismatch), 2 * time.Minute},
	{"blob-longer", is(content.ErrMismatch), 0},
	{"blob-longer-stated", is(content.ErrMismatch), 0},
	{"blob-trailers", lasting, 0}, // an error that came with the last bytes of a blob made the process panic
	{"chunk-extensions", lasting, 0},
	{"gzip-blob", is(content.ErrMismatch), 0},
	{"gzip-refusal", is(content.ErrNotFound), 0},
	{"refusal-endless", is(content.ErrDenied), 0},
	{"header-many", unanswered, 0},
	{"header-100mb", unanswered, 0},
	{"header-malformed", unanswered, 0},
	{"media-type-long", harmless, 0},
	{"header-digest-long", is(content.ErrMismatch), 0},
	{"header-drip", timesOut, 10 * time.Minute},
	{"informational", unanswered, 0},
	{"informational-drip", timesOut, 10 * time.Minute},
	{"manifest-drip", timesOut, 10 * time.Minute},
	{"blob-drip", timesOut, 5 * time.Minute},
	{"blob-minute", timesOut, 5 * time.Minute},
	{"retry-after", is(transfer.ErrDeferred), 0},
	{"retry-after-date", answers(http.StatusServiceUnavailable), 0},
	{"challenge-large", is(content.ErrUnauthorized), 0},
	{"challenge-endless", is(content.ErrUnauthorized), 0},
	{"token-drip", timesOut, 10 * time.Minute},
	{"text-platform", harmless, 0},
	{"text-image", harmless, 0},
	{"text-refusal", is(content.ErrDenied), 0},
	{"text-plain-refusal", is(content.ErrDenied), 0},
	{"text-status", is(content.ErrDenied), 0},
	{"text-token", is(content.ErrUnauthorized), 0},
	{"token-echo", is(content.ErrUnauthorized), 0},
	{"scopes-large", is(content.ErrUnauthorized), 0},
	{"tags-links", unanswered, 0},
	{"upload-redirect", either(answers(http.StatusTemporaryRedirect), is(content.ErrInvalid)), 0},
	{"upload-grows", either(is(syscall.ECONNRESET), is(io.ErrUnexpectedEOF)), 3 * time.Minute},
	{"upload-range-huge", either(is(syscall.ECONNRESET), is(io.ErrUnexpectedEOF)), 3 * time.Minute},
	{"upload-status-silent", either(is(syscall.ECONNRESET), timesOut), 5 * time.Minute},
	{"upload-accepted", answers(http.StatusAccepted), 0},
	{"upload-other-digest", is(content.ErrMismatch), 0},
	{"upload-minute", timesOut, 5 * time.Minute},
	{"upload-drip", timesOut, 5 * time.Minute},
	{"manifest-put-digest", is(content.ErrMismatch), 0},
	{"mount-lie", answers(http.StatusCreated), 0},
}

// defenceOf returns the defence against an attack.
func defenceOf(a registrytest.Attack) defence {
	d := defence{name: a.Name, fails: is(content.ErrInvalid)}
	if i := slices.IndexFunc(defences, func(d defence) bool { return d.name == a.Name }); i >= 0 {
		d = defences[i]
	}
	d.within = cmp.Or(d.within, 5*time.Second)
	return d
}

// peaks are the highest values of a process since begin.
type peaks struct {
	stop func()

	mu         sync.Mutex
	base       uint64
	memory     uint64 // bytes more than the base
	goroutines int
	spooled    int64 // bytes in files without a name
}

// watch measures until stop is called. It runs outside of any bubble.
func watch() *peaks {
	p, ended := &peaks{}, make(chan struct{})
	p.begin()
	var running sync.WaitGroup
	running.Go(func() {
		for n := 0; ; n++ {
			p.measure(n%16 == 0)
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	p.stop = func() {
		close(ended)
		running.Wait()
	}
	return p
}

// begin resets the measurement, so that the preparation of a test does not count.
func (p *peaks) begin() {
	debug.FreeOSMemory()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base, p.memory, p.goroutines, p.spooled = inUse(), 0, 0, 0
}

func (p *peaks) measure(files bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory = max(p.memory, max(inUse(), p.base)-p.base)
	p.goroutines = max(p.goroutines, runtime.NumGoroutine())
	if files {
		p.spooled = max(p.spooled, spooled())
	}
}

// inUse returns the memory that the process has from the system, except for what is free.
func inUse() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64() - samples[2].Value.Uint64()
}

// spooled returns the size of the open files of spools; zero where there is no /proc.
func spooled() (sum int64) {
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, file := range files {
		if to, err := os.Readlink(file); err != nil || !strings.Contains(to, "regsync-spool") {
			continue
		}
		if info, err := os.Stat(file); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// attack runs the copy or the listing that an attack is against. p begins when everything is ready.
func (b *bench) attack(a registrytest.Attack, destinations int, p *peaks) (took time.Duration, err error) {
	b.t.Helper()
	b.login = auth.Credential{Username: "me", IdentityToken: identityToken}
	b.from, b.to = b.place(atRegistry, "source"), b.place(atRegistry, "destination")
	if destinations > 1 {
		b.also = b.place(atRegistry, "other")
	}
	hostile := b.from
	if a.Side == registrytest.AtDestination {
		hostile = b.to
		b.from.server.Push("team/app", "1", registrytest.Innocent())
	}
	a.Begin(hostile.server)
	p.begin()
	began := time.Now()
	if a.Lists {
		err = b.list()
	} else {
		err = b.copy("1", transfer.Job{Referrers: a.Referrers()}, transfer.Options{SpoolBytes: hostileSpool}).err
	}
	return time.Since(began), err
}

// list reads the listing of the source. It keeps all names, as a mirror does.
func (b *bench) list() error {
	b.t.Helper()
	s := b.open()
	defer s.close(b.t)
	from, err := s.OpenSource(b.t.Context(), b.from.base)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for name, err := range from.(content.TagLister).Tags(b.t.Context()) {
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	runtime.KeepAlive(names)
	return nil
}

// A hostile registry gains nothing, and exhausts neither memory, disk, goroutines nor time. Each attack ends with an
// error that names it, or does no harm; no host is dialled that an answer must not lead to, no file and no connection
// is left, and no tag is written.
//
// Before, an index of empty children took 497 MiB, a tree of indexes 322 MiB and 24,000 goroutines, and one of large
// manifests 217 MiB.
func TestHostileRegistry(t *testing.T) {
	for _, a := range registrytest.Attacks() {
		if a.Lists && transfer.RaceDetector {
			continue // one goroutine reads a listing; this takes a minute under the race detector
		}
		destinations := []int{1}
		if strings.HasPrefix(a.Name, "blob-") || strings.HasPrefix(a.Name, "size-") {
			destinations = []int{1, 2} // through a spool
		}
		for _, n := range destinations {
			t.Run(fmt.Sprintf("%s to %d", a.Name, n), func(t *testing.T) { underAttack(t, a, n) })
		}
	}
}

func underAttack(t *testing.T, a registrytest.Attack, destinations int) {
	d, now := defenceOf(a), time.Now()
	p := watch()
	synctest.Test(t, func(t *testing.T) { // it ends when the last goroutine has ended
		time.Sleep(time.Until(now))
		b := newBench(t, nil)
		took, err := b.attack(a, destinations, p)
		p.stop()
		t.Logf("%v, %d MiB, %d goroutines, %d bytes spooled: %.300v", took, p.memory>>20, p.goroutines, p.spooled, err)
		if !d.fails(err) || took > d.within {
			t.Errorf("got %v after %v, want another error within %v", err, took, d.within)
		}
		if p.memory > mostMemory && !transfer.RaceDetector {
			t.Errorf("%d MiB of memory, want at most %d", p.memory>>20, mostMemory>>20)
		}
		if p.goroutines > mostGoroutines || p.spooled > hostileSpool+manifestsOnDisk {
			t.Errorf("%d goroutines and %d bytes in files, want at most %d and %d", p.goroutines, p.spooled, mostGoroutines, hostileSpool+manifestsOnDisk)
		}
		if text := fmt.Sprint(err); len(text) > longestError || strings.Contains(text, "planted") {
			t.Errorf("the error has %d bytes, or the identity token: %.1000s", len(text), text)
		}
		for _, host := range b.network.Dialled() {
			if !slices.Contains([]string{"source.test", "destination.test", "other.test"}, host) {
				t.Errorf("%s was dialled", host)
			}
		}
		for _, to := range b.destinations() {
			failed, tagged := errors.AsType[*transfer.ReferrersError](err)
			tagged = tagged && failed.Tagged
			if got := b.pointsAt(to, "1"); err != nil && (got != "") != tagged {
				t.Errorf("%s points at %s", to.base, got)
			}
		}
		b.nothingLeft(always) // sessions are what a hostile destination has opened for itself
	})
}

// Each defence names an attack that exists.
func TestDefencesAreAgainstAttacks(t *testing.T) {
	for _, d := range defences {
		if !slices.ContainsFunc(registrytest.Attacks(), func(a registrytest.Attack) bool { return a.Name == d.name }) {
			t.Errorf("%s is no attack", d.name)
		}
	}
}
