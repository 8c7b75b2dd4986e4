package transfer

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/internal/spool"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Engine executes jobs. It serves one run.
type Engine struct {
	// Counters may be read while the engine runs.
	Counters Counters

	opener  Opener
	options Options
	spools  *spool.Pool
	// moveCheck is how long a copy takes before the source's tag is looked at once more.
	moveCheck time.Duration
	window    atomic.Pointer[window] // of the run
	since     func(time.Time) time.Duration
	silences  silences
	// inventories are the tags of destinations.
	inventories inventories

	// running are the goroutines that belong to no job alone.
	running         sync.WaitGroup
	manifests       manifestCache
	manifestFetches flight.Group[manifestKey, []byte]
	manifestPushes  flight.Group[contentKey, content.ManifestPushed]
	blobPushes      flight.Group[contentKey, struct{}]
	attaching       flight.Memo[attachedAt, attachmentPut]
	asked           asked
	referrerLists   keyedLock[contentKey]

	mu         sync.Mutex
	registries map[string]*registry // by place.registry
	supplies   map[blobID]*supply   // of the blobs that are wanted now
	reached    map[blobID]int64     // how far each blob has been read in this run, in bytes
}

// New makes an engine for one run.
func New(opener Opener, options Options) *Engine {
	if options.Window <= 0 {
		options.Window = defaultWindow
	}
	if options.SpoolBytes <= 0 {
		options.SpoolBytes = defaultSpoolBytes
	}
	return &Engine{
		opener:     opener,
		options:    options,
		spools:     spool.NewPool(options.SpoolDir, options.SpoolBytes, spoolMemory),
		moveCheck:  time.Minute,
		since:      time.Since,
		registries: map[string]*registry{},
		supplies:   map[blobID]*supply{},
		reached:    map[blobID]int64{},
	}
}

// Plan plans jobs without executing them: it only reads. Plans come in the jobs' order; a
// job that cannot be planned yields its error and does not end the sequence; ctx does, maybe
// before the last job, so the caller looks at it afterwards. jobs is read in a goroutine,
// and has to end soon after ctx where it waits for something.
func (e *Engine) Plan(ctx context.Context, jobs iter.Seq[Job]) iter.Seq2[*Plan, error] {
	type outcome struct {
		plan *Plan
		err  error
	}
	return func(yield func(*Plan, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var planning sync.WaitGroup
		defer e.running.Wait()
		defer planning.Wait()
		defer cancel()
		queue := make(chan chan outcome, e.options.Window)
		planning.Go(func() {
			defer close(queue)
			for job := range jobs {
				slot := make(chan outcome, 1)
				select {
				case queue <- slot:
				case <-ctx.Done():
					return
				}
				planning.Go(func() {
					p, err := e.planned(ctx, job, false)
					if err != nil {
						slot <- outcome{err: err}
						return
					}
					slot <- outcome{plan: p.plan}
				})
			}
		})
		for slot := range queue {
			if o := <-slot; !yield(o.plan, o.err) {
				return
			}
		}
	}
}

// Run plans and executes jobs and hands each job's result to done, in the order in which
// they end, one at a time. It returns when all have ended or ctx has; then it returns
// ctx's cause. When Options.Draining is closed it takes no more jobs, lets end what has begun,
// and returns an [ErrDeferred] if the jobs had not ended. Jobs that were not started give
// no result. One job's failure stops no other. Where jobs waits for something, it has to
// end with ctx, and with Draining, itself.
func (e *Engine) Run(ctx context.Context, jobs iter.Seq[Job], done func(*Result)) error {
	window := newWindow(e.options.Window)
	e.window.Store(window)
	var times deadlines
	var open sync.WaitGroup
	var reporting sync.Mutex
	var cutShort error
	for job := range jobs {
		if !window.enter(ctx, e.options.Draining) || ctx.Err() != nil || e.draining() {
			cutShort = errEnding
			break
		}
		open.Go(func() {
			defer window.exit()
			ctx, stop := times.of(ctx, job)
			defer stop()
			result := e.run(ctx, job, window)
			reporting.Lock()
			defer reporting.Unlock()
			done(result)
		})
	}
	open.Wait()
	e.running.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return cutShort
}

// Free is how many more jobs a run would begin at once. Those that merely wait for a
// destination to answer take no place.
func (e *Engine) Free() int {
	if w := e.window.Load(); w != nil {
		return cap(w.slots) - len(w.slots)
	}
	return e.options.Window
}

func (e *Engine) emit(event Event) {
	if e.options.Observe != nil {
		e.options.Observe(event)
	}
}

func (e *Engine) acquire(ctx context.Context, read, write string, weight int64) (func(), error) {
	if e.options.Slots == nil || read == "" && write == "" {
		return func() {}, nil
	}
	return e.options.Slots.Acquire(ctx, read, write, weight)
}

// registry is what the run knows about the registry of a target, which errors call ref.
func (e *Engine) registry(target content.Target, ref reference.Reference) *registry {
	location := target.Location()
	at := placeOf(location)
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.registries[at.registry]
	if r == nil {
		r = &registry{
			name:      location.Registry,
			targets:   map[string]origin{},
			waits:     map[[2]string]int{},
			blobs:     map[digest.Digest]*blobState{},
			manifests: map[manifestPlace]content.ManifestPushed{},
			sampled:   make(chan struct{}),
		}
		r.recall(e.options.Abilities)
		e.registries[at.registry] = r
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.targets[at.repository] = origin{target, SideDestination, ref.WithoutIdentifier()}
	return r
}

// want notes that a place needs a blob.
func (e *Engine) want(blob content.Descriptor, at place) *supply {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.supplies[idOf(blob)]
	if s == nil {
		s = &supply{engine: e, blob: blob, wants: map[place]int{}}
		e.supplies[idOf(blob)] = s
	}
	s.want(at)
	return s
}

// settle takes a want back.
func (e *Engine) settle(s *supply, at place) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if live := s.settle(at); !live {
		e.retireLocked(s)
	}
}

// arrived takes back all that is wanted of a blob at a place, because it is there.
func (e *Engine) arrived(s *supply, at place) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if live := s.arrived(at); !live {
		e.retireLocked(s)
	}
}

// retireLocked forgets a supply that nobody wants. e.mu is held.
func (e *Engine) retireLocked(s *supply) {
	if id := idOf(s.blob); e.supplies[id] == s {
		delete(e.supplies, id)
	}
}

// holder is a destination that this run has put a blob into.
func (e *Engine) holder(blob digest.Digest) (origin, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.registries {
		if from, found := r.reader(blob); found {
			return from, true
		}
	}
	return origin{}, false
}

// readUpTo is how far a blob has been read in this run, in bytes.
func (e *Engine) readUpTo(blob content.Descriptor) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reached[idOf(blob)]
}

// noteRead notes that a blob has been read up to an offset.
func (e *Engine) noteRead(blob content.Descriptor, offset int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id := idOf(blob); e.reached[id] < offset {
		e.reached[id] = offset
	}
}

// normalize gives a destination that names no tag the source's.
func normalize(job Job) Job {
	destinations := make([]reference.Reference, len(job.Destinations))
	for i, ref := range job.Destinations {
		if ref.Identifier() == "" {
			ref.Tag = job.Source.Tag
		}
		destinations[i] = ref
	}
	job.Destinations = destinations
	return job
}
