package transfer

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/blobs"
	"github.com/regsync/regsync/pkg/transfer/internal/deliver"
	"github.com/regsync/regsync/pkg/transfer/internal/lanes"
	"github.com/regsync/regsync/pkg/transfer/internal/manifests"
	"github.com/regsync/regsync/pkg/transfer/internal/plan"
	"github.com/regsync/regsync/pkg/transfer/internal/referrers"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Engine executes jobs. It serves one run.
type Engine struct {
	// Counters may be read while the engine runs.
	Counters Counters

	opener  Opener
	options Options
	spools  *spool.Pool
	// moveCheck is how long a copy has to take for the source's tag to be resolved again.
	moveCheck time.Duration
	entries   flight.Memo[string, time.Time] // when the first job of each entry began
	drained   context.Context                // of the run: ends when Options.Draining is closed
	sources   repositories
	blobs     *blobs.Queue // of the run
	seen      *seenTags    // of the run; a plan has none, and so checks all destinations
	// attestations knows which registries accept none.
	attestations attestations

	// running counts the goroutines that several deliveries share.
	running sync.WaitGroup

	plans      *plan.Run
	manifests  *manifests.Cache
	deliveries *deliver.Run
	referrers  *referrers.Finder
}

// New creates an engine for one run.
func New(opener Opener, options Options) *Engine {
	options.Window = cmp.Or(max(options.Window, 0), defaultWindow)
	options.SpoolBytes = cmp.Or(max(options.SpoolBytes, 0), defaultSpoolBytes)
	if options.Limiter == nil {
		options.Limiter = limit.New(limit.Options{})
	}
	options.Copies = cmp.Or[CopyMemory](options.Copies, noMemory{})
	abilities := cmp.Or[AbilityMemory](options.Abilities, noMemory{})
	e := &Engine{
		opener: opener, options: options,
		spools:    spool.NewPool(options.SpoolDir, options.SpoolBytes, spoolMemory),
		moveCheck: time.Minute,
		sources:   repositories{jobs: map[string]int{}},
		attestations: attestations{
			memory: abilities, recheck: options.Recheck, refusing: map[string]bool{}, accepted: map[string]bool{},
		},
	}
	e.deliveries = &deliver.Run{
		Limiter: options.Limiter, Observer: observer{e}, Running: &e.running, AtDestination: atDestination,
	}
	e.manifests = manifests.New(options.SpoolDir, &e.running)
	children := cmp.Or[ChildMemory](options.Children, noMemory{})
	e.plans = &plan.Run{
		Manifests: e.manifests, Running: &e.running, Selections: options.Selections, Children: children,
		Abilities: options.Abilities, AttachedTags: options.AttachedTags,
	}
	e.referrers = referrers.New(referrers.Options{
		Manifests: e.manifests, Running: &e.running, Children: children,
		Abilities: abilities, AttachedTags: options.AttachedTags, Images: e.sources.count,
	})
	return e
}

// Prepare connects to a destination that jobs will probably have, while their sources are listed. It reports no error:
// each job that goes there has its own.
func (e *Engine) Prepare(ctx context.Context, destination reference.Reference) {
	target, err := e.opener.OpenTarget(ctx, destination)
	if p, ok := target.(content.Preparer); err == nil && ok {
		_ = p.Prepare(ctx)
	}
}

// Plan plans jobs without executing them: it only reads. Plans come in the jobs' order. A job that cannot be planned yields its
// error and does not end the sequence. The end of ctx does, possibly before the last job, so the caller must check ctx
// afterwards. jobs is read in another goroutine; if it blocks, it must end soon after ctx.
func (e *Engine) Plan(ctx context.Context, jobs iter.Seq[Job]) iter.Seq2[*Plan, error] {
	type outcome struct {
		plan *Plan
		err  error
	}
	return func(yield func(*Plan, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var planning sync.WaitGroup
		defer e.manifests.Close()
		defer e.running.Wait()
		defer planning.Wait()
		defer cancel()
		queue := make(chan chan outcome, e.options.Window)
		planning.Go(func() {
			defer close(queue)
			order := int64(0)
			for job := range jobs {
				order++
				slot := make(chan outcome, 1)
				select {
				case queue <- slot:
				case <-ctx.Done():
					return
				}
				position := order
				planning.Go(func() {
					plan, err := planAll(ctx, e, job, position)
					slot <- outcome{plan, err}
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

// Run plans and executes jobs and passes each job's result to done, in the order in which they end, one at a time. It returns
// when all jobs have ended, or ctx's cause after ctx has ended. When Options.Draining is closed it takes no more jobs, finishes
// those in flight, and returns an [ErrDeferred] if jobs were left. Jobs that were not started have no result. The failure of
// one job does not stop the others. Unless Options.FailFast is set, jobs that failed for a temporary cause are tried once more
// at the end. If jobs blocks, it must itself end with ctx and with Draining.
func (e *Engine) Run(ctx context.Context, jobs iter.Seq[Job], done func(*Result)) error {
	r := e.newRun(ctx, done)
	defer r.endPlanning(nil)
	stop := r.drainLater(ctx)
	defer stop()
	var cutShort error
	queued := 0
	for job := range jobs {
		if ctx.Err() != nil || e.draining() || !r.lanes.WaitForSpace(e.options.Draining, ctx.Done()) {
			cutShort = errEnding
			break
		}
		e.sources.add(job.Source)
		for _, d := range newImage(e, job).deliveries {
			r.lanes.Add(&d.ticket)
		}
		queued++
		e.emit(Queued{Jobs: queued})
		r.dispatch()
	}
	if cutShort == nil && ctx.Err() == nil && !e.draining() { // else jobs may have ended early
		e.emit(Queued{Jobs: queued, Complete: true})
	}
	r.lanes.Close()
	r.dispatch()
	r.open.Wait()
	e.running.Wait() // goroutines of the first attempts
	r.tryAgain()
	r.open.Wait()
	r.finishTrusted()
	r.open.Wait()
	if dropped := r.drop(); dropped {
		cutShort = errEnding
	}
	e.blobs.Close()
	e.running.Wait()
	e.manifests.Close()
	e.attestations.keepAccepted()
	r.warnRefused()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return cutShort
}

// execution is one Run.
type execution struct {
	engine      *Engine
	ctx         context.Context
	endPlanning context.CancelCauseFunc
	lanes       *lanes.Lanes[*delivery]
	open        sync.WaitGroup // deliveries

	reporting           sync.Mutex // one result at a time
	done                func(*Result)
	refused             map[string]int // referrers that were not accepted, by registry
	withoutAttestations map[string]int // images that were copied without their attestations, by registry

	mu     sync.Mutex
	failed []*delivery // for a temporary cause; tried once more
	last   bool        // the last attempts have begun
	// trusted are deliveries whose destination was not checked.
	trusted []*delivery
}

func (e *Engine) newRun(ctx context.Context, done func(*Result)) *execution {
	var drain context.CancelCauseFunc
	e.drained, drain = context.WithCancelCause(context.WithoutCancel(ctx))
	if e.draining() {
		drain(errEnding)
	}
	e.blobs = blobs.New(ctx, blobs.Options{
		Limiter: e.options.Limiter, Retry: retry.Policy{Attempts: e.options.Attempts},
		Spools: e.spools, Observer: observer{e}, Hints: e.options.MountHints, Abilities: e.options.Abilities, Uploads: e.options.Uploads,
		Draining:      errEnding,
		AtSource:      func(ref reference.Reference, err error) error { return onSide(SideSource, ref, err) },
		AtDestination: atDestination,
	})
	e.seen = newSeenTags(e.options)
	return &execution{
		engine: e, ctx: ctx, endPlanning: drain, lanes: lanes.New[*delivery](e.options.Window, e.options.Limiter.Down), done: done,
		refused: map[string]int{}, withoutAttestations: map[string]int{},
	}
}

// dispatch starts deliveries while the lanes have capacity. If a registry that is down holds
// some back, it looks again a second later.
func (r *execution) dispatch() {
	if r.ctx.Err() != nil {
		return
	}
	defer r.lanes.WhenKeptBack(r.dispatch)
	for d := r.lanes.Next(); d != nil; d = r.lanes.Next() {
		r.open.Go(func() { r.deliver(d.Work) })
	}
}

func (r *execution) deliver(d *delivery) {
	defer r.dispatch()
	defer r.lanes.Leave(&d.ticket)
	ctx := d.image.begin(r.ctx)
	d.replanned = false // by the attempt before
	result := d.bring(ctx)
	d.image.worked()
	if r.again(d, result) || r.holdTrusted(d, result) {
		return
	}
	r.finish(d, result)
}

// finish reports the end of a delivery and, with its last one, of its job.
func (r *execution) finish(d *delivery, result DestinationResult) {
	result.Err = r.engine.withCause(d.image.job.Source, result)
	if first := d.failed; first != nil && first.Digest != "" { // the first attempt copied the image
		result.Action, result.Previous = first.Action, first.Previous
		result.WithoutAttestations = first.WithoutAttestations
		result.Referrers += first.Referrers
	}
	if !d.duplicate && result.Reference != (reference.Reference{}) { // else there is no such destination
		r.engine.emit(DestinationDone{Job: d.image.job, Result: result})
	}
	if job := d.image.ended(d, result); job != nil {
		r.report(d.image, job)
	}
}

// finishFailed finishes a delivery that gets no second attempt.
func (r *execution) finishFailed(d *delivery) {
	result := *d.failed
	d.failed = nil
	r.finish(d, result)
}

func (r *execution) report(im *image, result *Result) {
	im.recheckTag(result)
	im.stop()
	result.Elapsed = im.took
	for _, w := range result.Warnings {
		r.engine.emit(Warned{Source: im.job.Source, Warning: w})
	}
	r.engine.emit(JobDone{Result: result})
	r.reporting.Lock()
	defer r.reporting.Unlock()
	for _, d := range result.Destinations {
		if d.Refused > 0 {
			r.refused[d.Reference.Registry] += d.Refused
		}
		if d.WithoutAttestations && d.Digest != "" {
			r.withoutAttestations[d.Reference.Registry]++
		}
	}
	r.done(result)
}

// maxHeld bounds the failed deliveries, and the trusted ones, that wait for the end of the run.
const maxHeld = 10_000

// again keeps a delivery that failed for a temporary cause until all others have ended. It reports whether it did.
func (r *execution) again(d *delivery, result DestinationResult) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last || r.engine.options.FailFast || r.engine.draining() || d.image.ctx.Err() != nil ||
		errors.Is(result.Err, ErrDeferred) || !retry.Retryable(result.Err) || len(r.failed) == maxHeld {
		return false
	}
	d.failed = &result
	d.image.pause(d)
	r.failed = append(r.failed, d)
	return true
}

// tryAgain gives the deliveries kept by again one more attempt.
func (r *execution) tryAgain() {
	r.mu.Lock()
	failed := r.failed
	r.failed, r.last = nil, true
	r.mu.Unlock()
	if len(failed) == 0 {
		return
	}
	r.engine.blobs.ResetFailures()
	for _, d := range failed {
		if r.engine.draining() || d.image.ctx.Err() != nil {
			r.finishFailed(d)
		} else {
			r.lanes.Add(&d.ticket)
		}
	}
	r.dispatch()
}

// holdTrusted keeps the result of a trusted tag until all other deliveries have ended, because one of them may find a
// changed tag in the repository. It reports whether it kept it.
func (r *execution) holdTrusted(d *delivery, result DestinationResult) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if result.Rule.Kind != RuleSeen || len(r.trusted) == maxHeld {
		return false
	}
	d.trusted = &result
	if len(d.plan.Warnings) == 0 {
		d.plan = nil // many may wait
	}
	r.trusted = append(r.trusted, d)
	return true
}

// finishTrusted finishes the deliveries that holdTrusted kept. If a tag of their repository was changed, they are planned
// again and resolve their tag.
func (r *execution) finishTrusted() {
	r.mu.Lock()
	trusted := r.trusted
	r.trusted = nil
	r.mu.Unlock()
	for _, d := range trusted {
		if r.engine.seen.distrusts(d.at) {
			r.lanes.Add(&d.ticket)
		} else {
			r.finish(d, *d.trusted)
		}
	}
	r.dispatch()
}

// warnRefused warns, once for each registry, of what was left out because the registry does not accept its kind.
func (r *execution) warnRefused() {
	warn := func(kind warning.Kind, counts map[string]int) {
		for _, registry := range slices.Sorted(maps.Keys(counts)) {
			r.engine.emit(Warned{Warning: warning.Warning{Kind: kind, Registry: registry, Count: counts[registry]}})
		}
	}
	warn(warning.AttestationsRefused, r.withoutAttestations)
	warn(warning.ReferrersRefused, r.refused)
}

// Announce emits the events of a result that is not the engine's: of a source that could not be listed, or of a tag that
// another image is written to.
func (e *Engine) Announce(r *Result) {
	for _, d := range r.Destinations {
		e.emit(DestinationDone{Job: r.Job, Result: d})
	}
	e.emit(JobDone{Result: r})
}

func (e *Engine) emit(event Event) {
	if e.options.Observe != nil {
		e.options.Observe(event)
	}
}

// repositories counts the jobs of a run by the repository of their source.
type repositories struct {
	mu   sync.Mutex
	jobs map[string]int
}

func (r *repositories) add(source reference.Reference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs[source.Name()]++
}

func (r *repositories) count(at content.Location) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[at.String()]
}
