package main

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
)

// moved is the result of a run of the engine.
type moved struct {
	results []*transfer.Result
	report  *report.Report
	sizes   manifestSizes
	err     error // of the copies
}

// move runs jobs as one run of the engine, and shows the progress. pull, push and copy are this call. The error is that of
// a run that could not start.
func move(ctx context.Context, a *app, command string, jobs []transfer.Job, style ui.Style, hints mountHints) (*moved, error) {
	m := &moved{report: a.newReport(command, nil, false)}
	progress := a.progress(ui.Options{Style: style, Images: len(jobs)})
	defer progress.Close()
	engine, err := a.engine(engineOptions{hints: hints, recheck: true, observe: func(e transfer.Event) {
		m.sizes.observe(e)
		progress.Observe(e)
	}})
	if err != nil {
		return nil, err
	}
	ended := engine.Run(ctx, slices.Values(jobs), func(r *transfer.Result) {
		m.results = append(m.results, r)
		m.report.Add(r)
		for _, d := range r.Destinations {
			newTagCache(a, d.Reference).Forget(d.Reference.WithoutIdentifier())
		}
	})
	m.err = errors.Join(a.failed(m.report, false, ""), ended)
	m.report.Finish(time.Now(), &engine.Counters, a.reached.Requests())
	m.report.Run.ExitCode = exitCode(m.err)
	return m, nil
}

// planJobs plans jobs. It only reads. The error is that of a plan that could not start.
func planJobs(ctx context.Context, a *app, jobs []transfer.Job) (*report.Report, error) {
	engine, err := planner(a, engineOptions{recheck: true})
	if err != nil {
		return nil, err
	}
	plan := a.newReport("plan", nil, false)
	planned(ctx, a, engine.Plan(ctx, slices.Values(jobs)), plan)
	return plan, nil
}

// manifestSizes are the sizes of the manifests of a run in bytes: docker push prints them.
type manifestSizes struct {
	mu   sync.Mutex
	size map[digest.Digest]int64
}

func (s *manifestSizes) observe(e transfer.Event) {
	if planned, ok := e.(transfer.Planned); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.size == nil {
			s.size = map[digest.Digest]int64{}
		}
		s.size[planned.Plan.Image.Digest] = planned.Plan.Image.Size
	}
}

// planner returns an engine for --dry-run, which writes nothing.
func planner(a *app, o engineOptions) (*transfer.Engine, error) {
	opener, err := a.opener()
	if err != nil {
		return nil, err
	}
	memory := a.memory(true)
	return transfer.New(lookingOnly{opener}, transfer.Options{
		Observe: o.observe, Limiter: a.limiter, AttachedTags: o.attachedTags, Recheck: o.recheck,
		Selections: memory, Children: memory, Copies: memory, Abilities: abilities{a},
	}), nil
}

// planned adds plans, and what cannot be done, to a report until ctx ends.
func planned(ctx context.Context, a *app, plans iter.Seq2[*transfer.Plan, error], plan *report.Report) {
	for p, err := range plans {
		if p == nil {
			p = &transfer.Plan{}
		}
		plan.AddPlan(p, err)
	}
	if ctx.Err() != nil {
		plan.NotStart("", 0, true)
	}
	plan.Finish(time.Now(), nil, a.reached.Requests())
}

// lookingOnly opens places without creating any.
type lookingOnly struct{ *backend.Opener }

var _ transfer.Opener = lookingOnly{}

// OpenTarget implements [transfer.Opener].
func (o lookingOnly) OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	return o.PreviewTarget(ctx, ref)
}
