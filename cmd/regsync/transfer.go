package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/transfer"
)

// moved is what a run of the engine has come to.
type moved struct {
	results  []*transfer.Result
	report   *ui.Report
	failures failures
	sizes    manifestSizes
	// ended is why not all jobs were run; nil if they were.
	ended error
}

// err is why not everything is as it was asked for.
func (m *moved) err() error { return errors.Join(m.failures.err(), m.ended) }

// move runs jobs as one run of the engine, and shows the progress. pull, push and copy are
// this call. The error is one of a run that could not begin.
func (a *app) move(ctx context.Context, jobs []transfer.Job, style ui.Style, hints mountHints) (*moved, error) {
	started := time.Now()
	m := &moved{report: ui.NewReport(runID(started), started, ui.ReportOptions{Hints: hintFor})}
	progress := a.progress(style, len(jobs))
	defer progress.Close()
	engine, err := a.engine(engineOptions{hints: hints, recheck: true, observe: func(e transfer.Event) {
		m.sizes.observe(e)
		progress.Observe(e)
	}})
	if err != nil {
		return nil, err
	}
	m.ended = engine.Run(ctx, slices.Values(jobs), func(r *transfer.Result) {
		m.results = append(m.results, r)
		m.failures.addResult(r)
		m.report.Add(r)
	})
	m.report.Finish(time.Now(), exitCode(m.err()), &engine.Counters, a.reached.Requests())
	return m, nil
}

// runID names a run: when it began, in UTC, and a few random digits, so that no clock that
// is set back gives two runs one name.
func runID(started time.Time) string {
	var salt [3]byte
	_, _ = rand.Read(salt[:]) // never fails
	return started.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(salt[:])
}

// printReport writes the report as the document of a command.
func (a *app) printReport(command string, m *moved) error {
	return m.report.WriteResult(a.stdout, "regsync."+command+"/v1")
}

// plan plans jobs and only reads. The error is one of a run that could not begin.
func (a *app) plan(ctx context.Context, jobs []transfer.Job) (plan *ui.Plan, failed *failures, err error) {
	engine, err := a.planner(engineOptions{recheck: true})
	if err != nil {
		return nil, nil, err
	}
	plan, failed = planned(ctx, engine.Plan(ctx, slices.Values(jobs)), ui.PlanOptions{})
	return plan, failed, nil
}

// manifestSizes are the sizes in bytes of the images of a run, which docker push tells.
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
