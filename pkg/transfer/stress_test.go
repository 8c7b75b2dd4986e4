package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// probeLimit is the size up to which a blob is asked for by a mount.
const probeLimit = 1 << 20

// dice are random numbers for many goroutines.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{random: rand.New(rand.NewPCG(seed, 1))} }

// below is a number from zero to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// in reports true once in n times.
func (d *dice) in(n int) bool { return d.below(n) == 0 }

// upTo is a time up to a bound.
func (d *dice) upTo(most time.Duration) time.Duration { return time.Duration(d.below(int(most))) }

// storm is a run over shared images in which anything may happen.
type storm struct {
	*dice
	world  *world
	images map[string]contenttest.Image // by "repository:tag" of a.test
	// attached are the manifests that belong to an image, by its digest.
	attached map[digest.Digest][]digest.Digest
	foreign  map[string]digest.Digest // referrers of destinations' own, by wire
	faults   bool
	required bool // ReferrersRequired

	mu    sync.Mutex
	early []string // tags that were put before what belongs to them
}

func newStorm(t *testing.T, seed uint64) *storm {
	t.Helper()
	s := &storm{
		dice: newDice(seed), world: newWorld(), images: map[string]contenttest.Image{},
		attached: map[digest.Digest][]digest.Digest{}, foreign: map[string]digest.Digest{},
	}
	s.faults, s.required = s.in(2), s.in(2)
	s.push(t)
	for _, registry := range []string{"a.test", "b.test", "c.test", "d.test"} {
		for _, name := range []string{"x", "y", "z"} {
			s.disturb(t, registry, name)
		}
	}
	return s
}

// push fills the source: images that share layers, with signatures and referrers.
func (s *storm) push(t *testing.T) {
	t.Helper()
	layers := make([]contenttest.Blob, 6)
	for i := range layers {
		layers[i] = contenttest.NewLayer(fmt.Sprint("layer", i), 100+s.below(3000))
	}
	layers[0] = contenttest.NewLayer("large", probeLimit+1)
	api := s.in(2)
	for _, name := range []string{"x", "y", "z"} {
		at := s.world.at("a.test/" + name)
		at.noReferrers = !api
		for tag := range 4 {
			image := contenttest.NewImage("linux/amd64", layers[s.below(len(layers))], layers[s.below(len(layers))])
			if s.in(2) {
				image = contenttest.NewIndex(image, contenttest.NewImage("linux/arm64", layers[s.below(len(layers))]))
			}
			image.Push(t, at.MemoryRepository, fmt.Sprint(tag))
			s.images[fmt.Sprintf("%s:%d", name, tag)] = image
			if d := image.Digest().Encoded(); d[0] < '8' { // wherever the same image is
				s.attach(t, at, image)
			}
		}
	}
}

func (s *storm) attach(t *testing.T, at *wire, image contenttest.Image) {
	t.Helper()
	if len(s.attached[image.Digest()]) == 0 {
		s.attached[image.Digest()] = []digest.Digest{sbom(image, "1").Digest(), signature(image.Digest().String()).Digest()}
	}
	sbom(image, "1").Push(t, at.MemoryRepository, "")
	if at.noReferrers {
		tagLists(t, at, sbom(image, "1"))
	}
	signature(image.Digest().String()).Push(t, at.MemoryRepository, signatureTag(image.Digest()))
}

// disturb makes a repository slow, and perhaps faulty.
func (s *storm) disturb(t *testing.T, registry, name string) {
	t.Helper()
	at := s.world.at(registry + "/" + name)
	slow := 300 * time.Millisecond
	if s.in(4) {
		slow = 15 * time.Second
	}
	at.hold = func(ctx context.Context, what string, d digest.Digest) error {
		if err := retry.Sleep(ctx, s.upTo(slow)); err != nil {
			return err
		}
		if s.faults && s.in(25) {
			return errBroken
		}
		return nil
	}
	if registry == "a.test" {
		return
	}
	switch registry {
	case "c.test":
		at.noReferrers = true
		at.onMount = func(from string) error {
			if from != name || s.in(2) {
				return content.ErrNotMounted
			}
			return nil
		}
	case "d.test":
		at.noReferrers = s.in(2)
	}
	if at.noReferrers {
		s.signElsewhere(t, at)
	}
	at.onPushManifest = func(d content.Descriptor, tag string) error {
		if len(tag) == 1 { // an image's
			s.requireAttached(at, d.Digest, tag)
		}
		return nil
	}
}

// signElsewhere gives a destination referrers of its own, before the images come.
func (s *storm) signElsewhere(t *testing.T, at *wire) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s.images)) {
		if image := s.images[name]; s.in(3) {
			own := sbom(image, "own")
			own.Push(t, at.MemoryRepository, "")
			tagLists(t, at, own)
			s.foreign[at.Location().String()+" "+image.Digest().String()] = own.Digest()
		}
	}
}

// requireAttached notes a tag that comes before what is attached to its image.
func (s *storm) requireAttached(at *wire, image digest.Digest, tag string) {
	for _, a := range s.attached[image] {
		if !s.required { // a new tag does not wait for referrers that failed
			continue
		}
		if _, err := at.MemoryRepository.Resolve(context.Background(), a.String()); err != nil {
			s.mu.Lock()
			s.early = append(s.early, at.Location().String()+":"+tag)
			s.mu.Unlock()
		}
	}
}

// jobs are copies of all images, each to some places, some under two tags.
func (s *storm) jobs() []Job {
	var jobs []Job
	for i, from := range slices.Sorted(maps.Keys(s.images)) {
		tag := string(rune('a' + i))
		var to []string
		for _, registry := range []string{"b.test", "c.test", "d.test"} {
			for _, into := range []string{"x", "y", "z"} {
				if s.in(3) {
					to = append(to, registry+"/"+into+":"+tag)
				}
			}
		}
		if s.in(4) {
			to = append(to, "b.test/x:"+strings.ToUpper(tag))
		}
		j := withReferrers(job("a.test/"+from, to...))
		j.ReferrersRequired = s.required
		if s.in(4) {
			j = ofEntry(j, "timed", time.Second+s.upTo(40*time.Second))
		}
		jobs = append(jobs, j)
	}
	s.random.Shuffle(len(jobs), func(i, k int) { jobs[i], jobs[k] = jobs[k], jobs[i] })
	return jobs
}

// Blobs, manifests and attachments are shared by jobs that time out, are cancelled or
// drained at any moment, at registries that are slow and break. Whatever happens: the run
// ends, no tag comes before what belongs to it, a job that ended well has its tag, nobody
// else's referrers are lost, nothing is held or kept for a job that has ended, and the next
// night makes everything right.
func TestStorms(t *testing.T) {
	seeds := uint64(40)
	if RaceDetector {
		seeds = 8 // it finds its races in any storm, and makes each of them ten times as long
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newStorm(t, seed).run(t) })
		})
	}
}

func (s *storm) run(t *testing.T) {
	t.Helper()
	options := s.options()
	jobs := s.jobs()
	e := New(s.world, s.ending(options))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if s.in(3) {
		time.AfterFunc(s.upTo(time.Minute), cancel)
	}
	var results []*Result
	err := e.Run(ctx, slices.Values(jobs), func(r *Result) { results = append(results, r) })
	if err == nil && len(results) != len(jobs) {
		t.Errorf("%d results of %d jobs", len(results), len(jobs))
	}
	s.judge(t, results)
	nothingIsKept(t, e)
	noSessions(t, s.world)
	s.calm(t, options, jobs)
}

// ending lets the run end in the middle, perhaps.
func (s *storm) ending(options Options) Options {
	if s.in(3) {
		draining := make(chan struct{})
		options.Draining = draining
		time.AfterFunc(s.upTo(time.Minute), func() { close(draining) })
	}
	return options
}

// calm runs the jobs two more nights, in which nothing happens: the first completes what
// the storm has left, by what it remembers, and the second finds nothing to do.
func (s *storm) calm(t *testing.T, options Options, jobs []Job) {
	t.Helper()
	s.faults = false
	for i := range jobs {
		jobs[i].Timeout = 0
	}
	results := run(t, New(s.world, options), jobs...)
	ok(t, results...)
	s.judge(t, results)
	e := New(s.world, options)
	for _, r := range run(t, e, jobs...) {
		for _, d := range r.Destinations {
			if d.Action != ActionUnchanged || d.Referrers != 0 {
				t.Errorf("%s: %s and %d referrers, a night later", d.Reference.Familiar(), d.Action, d.Referrers)
			}
		}
	}
	if read, sent := e.Counters.Read.Load(), e.Counters.Sent.Load(); read+sent != 0 {
		t.Errorf("%d bytes read, %d sent, where nothing was to be done", read, sent)
	}
}

// options are those of a small engine whose memory of registries and blobs may lie.
func (s *storm) options() Options {
	options := newDiary().options()
	options.Limiter = limit.New(limit.Options{MaxConnections: func(string) int { return 3 + s.below(6) }})
	options.Window, options.SpoolBytes = 1+s.below(8), 2*probeLimit
	pick := func(words ...string) string { return words[s.below(len(words))] }
	options.Abilities = &abilities{kept: map[string]string{
		"b.test probe": pick("yes", "no"), "c.test probe": pick("yes", "no", ""), "b.test mount": pick("yes", "no", "committed"),
		"c.test mount": pick("committed", ""), "d.test mount": pick("yes", "no"), "b.test cut": pick("kept", "lost"), "c.test range": pick("checked", "wrong"),
	}}
	if s.in(2) {
		options.AttachedTags = s.listing
	}
	options.MountHints = func(string, digest.Digest) []string { return []string{"x", "nowhere"}[:s.below(3)] }
	return options
}

// listing are the tags of signatures and lists of a repository, as a mirror knows them.
func (s *storm) listing(of content.Location) (tags []string, listed bool) {
	for tag, err := range s.world.at(of.Registry + "/" + of.Repository).MemoryRepository.Tags(context.Background()) {
		if err != nil {
			return nil, false
		}
		if content.IsAttachedTag(tag) {
			tags = append(tags, tag)
		}
	}
	return tags, true
}

func (s *storm) judge(t *testing.T, results []*Result) {
	t.Helper()
	for _, r := range results {
		image := s.images[r.Job.Source.Repository+":"+r.Job.Source.Tag]
		if len(r.Destinations) != len(r.Job.Destinations) {
			t.Errorf("%s: %d results for %d destinations", r.Job.Source.Familiar(), len(r.Destinations), len(r.Job.Destinations))
		}
		for _, d := range r.Destinations {
			at := s.world.at(d.Reference.Name())
			switch tag := at.tag(d.Reference.Tag); {
			case d.Err == nil && tag != image.Digest():
				t.Errorf("%s is %q, want %s", d.Reference.Familiar(), tag, image.Digest())
			case d.Err == nil:
				image.Check(t, at.MemoryRepository)
			case !s.faults && !errors.Is(d.Err, ErrDeferred):
				t.Errorf("%s: %v, though nothing broke", d.Reference.Familiar(), d.Err)
			}
			s.listed(t, at, image, d.Err == nil)
		}
	}
	for _, tag := range s.early {
		t.Errorf("%s was put before what belongs to it", tag)
	}
}

// listed looks at the list of referrers of an image at a destination.
func (s *storm) listed(t *testing.T, at *wire, image contenttest.Image, right bool) {
	t.Helper()
	if !at.noReferrers {
		return
	}
	have := at.entries(t, image.Digest())
	where := at.Location().String()
	if own, theirs := s.foreign[where+" "+image.Digest().String()]; theirs && !slices.Contains(have, own) {
		t.Errorf("%s has lost its own referrer of %s", where, image.Digest())
	}
	if right && len(s.attached[image.Digest()]) > 0 && !slices.Contains(have, s.attached[image.Digest()][0]) {
		t.Errorf("%s does not list the referrer of %s", where, image.Digest())
	}
}

// noSessions looks at the upload sessions that are open after a run.
func noSessions(t *testing.T, w *world) {
	t.Helper()
	for registry, s := range w.sessions {
		if open, _ := s.counted(); open != 0 {
			t.Errorf("%s: %d upload sessions are left", registry, open)
		}
	}
}

// nothingIsKept looks at what an engine holds of jobs after they have ended.
func nothingIsKept(t *testing.T, e *Engine) {
	t.Helper()
	for what, n := range map[string]int{
		"blobs":           e.blobs.Pending(),
		"manifests read":  e.manifests.Pending(),
		"manifests put":   e.deliveries.Pending(),
		"referrers":       e.referrers.Pending(),
		"bytes of spools": int(e.options.SpoolBytes - e.spools.Free()),
	} {
		if n != 0 {
			t.Errorf("%s: %d are left", what, n)
		}
	}
}
