package transfer_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// hubBench is a fake Docker Hub, and a mirror without limits, in a bubble.
type hubBench struct {
	t           *testing.T
	hub, mirror *registrytest.Server
	network     *registrytest.Network
	login       auth.Credential
	reserve     int
	recheck     bool
	jobs        []transfer.Job
	// afterResult is called after each result; may be nil.
	afterResult func(n int)
}

func newHubBench(t *testing.T, pulls int, options ...registrytest.Option) *hubBench {
	t.Helper()
	network := &registrytest.Network{}
	options = append([]registrytest.Option{
		registrytest.In(network, "registry-1.docker.io"), registrytest.Profile("hub"), registrytest.WithPulls(pulls),
		registrytest.Latency(20 * time.Millisecond),
	}, options...)
	return &hubBench{
		t: t, network: network, hub: registrytest.New(t, options...),
		mirror: registrytest.New(t, registrytest.In(network, "mirror.test"), registrytest.Latency(5*time.Millisecond)),
	}
}

// add adds a tag that the mirror has with another image.
func (b *hubBench) add(tag string, image *registrytest.Fixture) {
	b.hub.Push("team/app", tag, image)
	b.mirror.Push("team/app", tag, older)
	b.jobs = append(b.jobs, transfer.Job{
		Source:       reference.Reference{Transport: reference.Registry, Registry: reference.DockerHub, Repository: "team/app", Tag: tag},
		Destinations: []reference.Reference{{Transport: reference.Registry, Registry: "mirror.test", Repository: "team/app", Tag: tag}},
	})
}

// single is an image of one platform.
func single(seed int) *registrytest.Fixture {
	return registrytest.Image(registrytest.ImageSpec{Seed: uint64(1000 + seed), Layers: []registrytest.Layer{{Size: 500}}})
}

func (b *hubBench) limiter() *limit.Limiter {
	return limit.New(limit.Options{PullReserve: func(string) int { return b.reserve }})
}

// run copies everything, and returns the results by tag.
func (b *hubBench) run(limiter *limit.Limiter) map[string]error {
	b.t.Helper()
	client := registry.New(registry.Options{
		Dial: b.network.Dial, CertsDirs: []string{}, Limiter: limiter, Credentials: credentials{b.login},
		Hosts: func(string) registry.HostConfig {
			return registry.HostConfig{TLS: registry.TLSDisabled, Proxy: "direct"}
		},
	})
	opener := backend.New(backend.Options{Registry: client})
	engine := transfer.New(opener, transfer.Options{Limiter: limiter, SpoolDir: b.t.TempDir(), Recheck: b.recheck})
	results := map[string]error{}
	err := engine.Run(b.t.Context(), slices.Values(b.jobs), func(r *transfer.Result) {
		for _, d := range r.Destinations {
			results[r.Job.Source.Tag] = cmp.Or(results[r.Job.Source.Tag], d.Err)
		}
		if b.afterResult != nil {
			b.afterResult(len(results))
		}
	})
	if err := errors.Join(err, opener.Close()); err != nil {
		b.t.Error(err)
	}
	client.Close()
	return results
}

type credentials struct{ login auth.Credential }

func (c credentials) Credential(_ context.Context, host, _ string) (auth.Credential, error) {
	if host == "mirror.test" {
		return auth.Credential{}, nil
	}
	return c.login, nil
}

// check compares the tags that were copied, in any order, checks that all others were deferred until a time, for one
// reason, and that the registry had no reason to refuse a pull.
func (b *hubBench) check(results map[string]error, copied ...string) (reason string) {
	b.t.Helper()
	var done []string
	reasons := map[string]int{}
	for tag, err := range results {
		if err == nil {
			done = append(done, tag)
			continue
		}
		pause, ok := errors.AsType[*limit.PauseError](err)
		if !errors.Is(err, transfer.ErrDeferred) || !ok || !pause.Quota || pause.Until.IsZero() {
			b.t.Errorf("%s: %v, want a deferral until a time", tag, err)
		}
		reasons[err.Error()]++
	}
	slices.Sort(done)
	slices.Sort(copied)
	if !slices.Equal(done, copied) {
		b.t.Errorf("copied %q, want %q", done, copied)
	}
	if len(results) != len(b.jobs) || len(reasons) > 1 {
		b.t.Errorf("%d results of %d, deferred for %v", len(results), len(b.jobs), reasons)
	}
	if refused := b.refused(); refused != 0 {
		b.t.Errorf("%d answers 429", refused)
	}
	for reason := range maps.Keys(reasons) {
		return reason
	}
	return ""
}

func (b *hubBench) refused() (n int) {
	for _, r := range b.hub.Log() {
		if r.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

// tags are t00 to t(n-1).
func tags(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("t%02d", i))
	}
	return all
}

func (b *hubBench) addSingles(n int) {
	for i, tag := range tags(n) {
		b.add(tag, single(i))
	}
	b.hub.ResetLog()
}

// TestPullQuota is the figure of docs/FIGURES.md: of 60 changed tags, the first as many as the quota allows are copied,
// and the others are deferred, without one refusal.
func TestPullQuota(t *testing.T) {
	for name, test := range map[string]struct{ pulls, reserve, want int }{
		"20 pulls left":                    {20, 0, 20},
		"20 pulls left, 5 kept in reserve": {20, 5, 15},
		"none left":                        {-1, 0, 0},
		"fewer left than are kept":         {3, 5, 0},
		"enough":                           {100, 0, 60},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newHubBench(t, test.pulls)
				b.reserve = test.reserve
				b.addSingles(60)
				began := time.Now()
				results := b.run(b.limiter())
				reason := b.check(results, tags(60)[:test.want]...)
				if test.want < 60 {
					until := began.Add(6 * time.Hour).Local().Format("15:04")
					if !strings.Contains(reason, "docker.io allows no more pulls until about ") || !strings.Contains(reason, until) {
						t.Errorf("reason %q", reason)
					}
				}
				t.Logf("%d of 60 copied, %d deferred (%q), %d answers 429, %d pulls, %v", test.want, 60-test.want, reason, b.refused(),
					len(b.hub.Log().Find("GET", "/manifests/")), time.Since(began))
			})
		})
	}
}

// jitter delays each request by up to 400 ms, so that answers arrive out of order.
func jitter(r *http.Request) *registrytest.Fault {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(r.Method + r.URL.Path))
	return &registrytest.Fault{Delay: time.Duration(sum.Sum32()%400) * time.Millisecond}
}

// The order of the file is kept, whichever answers arrive first.
func TestPullQuotaWithSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 20)
		b.addSingles(60)
		b.hub.Fail(jitter)
		b.check(b.run(b.limiter()), tags(20)...)
	})
}

// If the registry counted a pull and the answer was lost, the request is sent once more, and the quota is never exceeded.
func TestPullQuotaWithLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 20)
		b.addSingles(60)
		var gets atomic.Int32
		b.hub.Fail(func(r *http.Request) *registrytest.Fault {
			fault := jitter(r)
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
				fault.LoseAnswer = gets.Add(1)%3 == 0
			}
			return fault
		})
		copied := 0
		for tag, err := range b.run(b.limiter()) {
			if err == nil {
				copied++
			} else if !errors.Is(err, transfer.ErrDeferred) {
				t.Errorf("%s: %v", tag, err)
			}
		}
		t.Logf("%d copied", copied)
		if copied < 12 || copied > 14 || b.refused() != 0 || b.hub.PullsLeft("") > 1 {
			t.Errorf("%d copied, %d answers 429, %d pulls left", copied, b.refused(), b.hub.PullsLeft(""))
		}
	})
}

// Docker Hub refuses requests of any kind for a while: the run waits, with or without Retry-After, and does not send
// more of them meanwhile.
func TestTooManyRequestsAtDockerHub(t *testing.T) {
	for _, test := range []struct {
		header http.Header
		most   int32
	}{{http.Header{"Retry-After": {"12"}}, 20}, {nil, 60}} {
		synctest.Test(t, func(t *testing.T) {
			b := newHubBench(t, 100)
			b.addSingles(60)
			began := time.Now()
			var refused atomic.Int32
			b.hub.Fail(func(r *http.Request) *registrytest.Fault {
				if since := time.Since(began); since < 200*time.Millisecond || since > 12*time.Second || !strings.Contains(r.URL.Path, "/manifests/") {
					return nil
				}
				refused.Add(1)
				return &registrytest.Fault{Status: http.StatusTooManyRequests, Header: test.header}
			})
			results := b.run(b.limiter())
			for tag, err := range results {
				if err != nil {
					t.Errorf("%s: %v", tag, err)
				}
			}
			n := refused.Load()
			t.Logf("%v: %d answers 429, %v", test.header, n, time.Since(began))
			if len(results) != 60 || n == 0 || n > test.most {
				t.Errorf("%d results, %d answers 429, want at most %d", len(results), n, test.most)
			}
		})
	}
}

// Each account has pulls of its own.
func TestPullQuotaOfAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 20)
		b.addSingles(60)
		limiter := b.limiter()
		b.check(b.run(limiter), tags(20)...)
		for i, user := range []string{"alice", "bob"} {
			b.login = auth.Credential{Username: user, Password: "secret"}
			b.jobs = b.jobs[20:]
			b.check(b.run(limiter), tags(60)[20*(i+1):20*(i+2)]...)
		}
		for _, user := range []string{"", "alice", "bob"} {
			if left := b.hub.PullsLeft(user); left != 0 {
				t.Errorf("%q has %d pulls left", user, left)
			}
		}
	})
}

// Another client uses up pulls of the same account while the run goes on.
func TestPullQuotaThatOthersUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 40)
		b.reserve = 5
		b.addSingles(60)
		b.afterResult = func(n int) {
			if n <= 10 {
				b.hub.SetPulls("", b.hub.PullsLeft("")-1)
			}
		}
		b.check(b.run(b.limiter()), tags(25)...)
		if left := b.hub.PullsLeft(""); left != 5 {
			t.Errorf("%d pulls left, want 5", left)
		}
	})
}

// A new window begins while the run goes on: a later answer states more pulls.
func TestPullQuotaThatIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 20)
		b.addSingles(60)
		b.afterResult = func(n int) {
			if n == 10 {
				b.hub.SetPulls("", 100)
			}
		}
		b.check(b.run(b.limiter()), tags(60)...)
	})
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 20)
		b.addSingles(60)
		limiter := b.limiter()
		b.check(b.run(limiter), tags(20)...)
		time.Sleep(6*time.Hour + time.Minute) // a service runs again
		b.jobs = b.jobs[20:]
		b.check(b.run(limiter), tags(40)[20:]...)
	})
}

// The destinations of an image, and images with the same digest, share their pulls, down to the last one.
func TestPullQuotaOfSeveralDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 9)
		for i, tag := range tags(5) {
			index := registrytest.Index(registrytest.IndexSpec{}, single(10*i), single(10*i+1))
			b.add(tag, index)
			b.add(tag+"-again", index)
		}
		for i := range b.jobs {
			second := b.jobs[i].Destinations[0]
			second.Repository = "second/app"
			b.jobs[i].Destinations = append(b.jobs[i].Destinations, second)
		}
		b.hub.Fail(jitter)
		b.hub.ResetLog()
		b.check(b.run(b.limiter()), "t00", "t00-again", "t01", "t01-again", "t02", "t02-again")
		if left := b.hub.PullsLeft(""); left != 0 {
			t.Errorf("%d pulls left", left)
		}
	})
}

// An image counts once for each of its manifests. One that does not fit as a whole is not begun, as far as that is known.
func TestPullQuotaOfIndexes(t *testing.T) {
	platforms := func(seed, n int) *registrytest.Fixture {
		var children []*registrytest.Fixture
		for i := range n {
			children = append(children, single(100*seed+i))
		}
		return registrytest.Index(registrytest.IndexSpec{}, children...)
	}
	for name, test := range map[string]struct {
		pulls  int
		sizes  []int // of the images: their platforms, 0 for an image without an index
		copied []int
	}{
		"they fit exactly":                       {12, []int{3, 3, 3, 3}, []int{0, 1, 2}},
		"one is read and does not fit":           {10, []int{3, 3, 3, 3, 3}, []int{0, 1}},
		"one pull is left":                       {5, []int{3, 3, 0, 0}, []int{0, 2}},
		"small images after one that is too big": {8, []int{3, 9, 2, 0, 0, 0, 0}, []int{0, 3, 4, 5}},
		"nothing fits":                           {2, []int{3, 3}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newHubBench(t, test.pulls)
				var copied []string
				for i, n := range test.sizes {
					image := single(100 * i)
					if n > 0 {
						image = platforms(i, n)
					}
					b.add(fmt.Sprintf("t%02d", i), image)
				}
				for _, i := range test.copied {
					copied = append(copied, fmt.Sprintf("t%02d", i))
				}
				b.hub.ResetLog()
				b.check(b.run(b.limiter()), copied...)
				t.Logf("%d pulls left", b.hub.PullsLeft(""))
			})
		})
	}
}

// Tags with the same digest take one pull together, also when it is the last one.
func TestPullQuotaOfEqualTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 1)
		for _, tag := range tags(10) {
			b.add(tag, image)
		}
		b.add("other", single(1))
		b.hub.ResetLog()
		b.check(b.run(b.limiter()), tags(10)...)
	})
}

// A signature takes a pull. An image whose signature does not fit is not copied.
func TestPullQuotaOfSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 7)
		for i, tag := range tags(10) {
			of := single(i)
			b.add(tag, of)
			b.jobs[i].Referrers = true
			name := strings.Replace(of.Digest().String(), ":", "-", 1) + ".sig"
			b.hub.Push("team/app", name, registrytest.Image(registrytest.ImageSpec{Seed: uint64(5000 + i)}))
		}
		b.hub.ResetLog()
		b.check(b.run(b.limiter()), tags(3)...)
		if left := b.hub.PullsLeft(""); left != 0 {
			t.Logf("%d pulls left", left)
		}
	})
}

// An image whose pulls are just enough is copied to all of its destinations, and so are other tags of its digest.
func TestPullsOfAnImageAreReservedOnce(t *testing.T) {
	for _, test := range []struct{ children, pulls int }{{34, 36}, {34, 60}, {18, 34}, {10, 12}} {
		for seed := range 5 {
			t.Run(fmt.Sprint(test, " ", seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := newHubBench(t, test.pulls)
					var children []*registrytest.Fixture
					for i := range test.children {
						children = append(children, single(100*seed+i))
					}
					index := registrytest.Index(registrytest.IndexSpec{}, children...)
					b.add("v1", index)
					b.add("v2", index)
					second := b.jobs[0].Destinations[0]
					second.Repository = "second/app"
					b.jobs[0].Destinations = append(b.jobs[0].Destinations, second)
					b.hub.ResetLog()
					b.hub.Fail(func(r *http.Request) *registrytest.Fault {
						fault := jitter(r)
						fault.Delay += time.Duration(seed*37) * time.Millisecond
						return fault
					})
					b.check(b.run(b.limiter()), "v1", "v2")
					if got := b.mirror.ManifestDigest("second/app", "v1"); got != index.Descriptor.Digest {
						t.Errorf("the second destination has %q", got)
					}
				})
			})
		}
	}
}

// A low rate does not use up the attempts of items: neither do the pauses that a registry asks for meanwhile.
func TestLowRateUsesUpNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHubBench(t, 1000)
		b.addSingles(40)
		var last atomic.Int64
		began := time.Now()
		b.mirror.Fail(func(*http.Request) *registrytest.Fault {
			now := int64(time.Since(began))
			if then := last.Load(); now-then > int64(11*time.Second) && last.CompareAndSwap(then, now) {
				return &registrytest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"10"}}}
			}
			return nil
		})
		limiter := limit.New(limit.Options{Rates: func(registry string) (r limit.Rates) {
			if registry == "mirror.test" {
				r.RequestsPerSecond = 2
			}
			return r
		}})
		b.check(b.run(limiter), tags(40)...)
		sent := float64(len(b.mirror.Log()))
		if took := time.Since(began).Seconds(); sent > 2*took+2 {
			t.Errorf("%.0f requests in %.0f s", sent, took)
		}
	})
}

// Images of a source that counts no pulls are planned at the same time, from the start of the run on.
func TestSourceWithoutAQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &registrytest.Network{}
		b := &hubBench{
			t: t, network: network,
			hub:    registrytest.New(t, registrytest.In(network, "source.test"), registrytest.Latency(200*time.Millisecond)),
			mirror: registrytest.New(t, registrytest.In(network, "mirror.test"), registrytest.Latency(5*time.Millisecond)),
		}
		b.addSingles(60)
		for i := range b.jobs {
			b.jobs[i].Source.Registry = "source.test"
		}
		began := time.Now()
		b.check(b.run(b.limiter()), tags(60)...)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v; one after the other it was 13 s", took)
		}
	})
}
