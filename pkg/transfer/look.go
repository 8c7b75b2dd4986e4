package transfer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// lookPatience is how much longer than the source and the first destination the others may
// take to answer, before the image goes to those that have.
const lookPatience = 2 * time.Second

// look is the question to one destination what is there.
type look struct {
	at     int // in Plan.Destinations
	done   chan struct{}
	answer DestinationPlan
}

// resolve looks at the source and at every destination, at the same time. An impatient one
// takes destinations that do not answer out of the plan and leaves them in p.late: a host
// that hangs holds up no other.
func (p *planner) resolve(ctx context.Context, impatient bool) (err error) {
	lookCtx, cancel := context.WithCancel(ctx)
	p.stopLooking = cancel
	var looking sync.WaitGroup
	looks := make([]*look, 0, len(p.plan.Destinations))
	answered := make(chan struct{}, len(p.plan.Destinations))
	for i, d := range p.plan.Destinations {
		l := &look{at: i, done: make(chan struct{}), answer: d}
		looks = append(looks, l)
		looking.Go(func() {
			l.answer.look(lookCtx)
			close(l.done)
			answered <- struct{}{}
		})
	}
	p.engine.running.Go(func() {
		looking.Wait()
		cancel()
	})
	p.plan.Source, err = p.resolveSource(ctx)
	if err == nil {
		err = content.CheckDescriptor(p.plan.Source)
	}
	if err == nil {
		p.gather(looks, answered, impatient)
	}
	return err
}

// resolveSource asks what the source's tag is now, unless the job says that.
func (p *planner) resolveSource(ctx context.Context) (content.Descriptor, error) {
	if known := p.plan.Job.Resolved; known != nil {
		return *known, nil
	}
	return p.plan.source.Resolve(ctx, p.plan.Job.Source.Identifier())
}

// gather waits for the destinations' answers.
func (p *planner) gather(looks []*look, answered <-chan struct{}, impatient bool) {
	if len(looks) > 0 {
		<-answered
	}
	waitForRest(answered, len(looks)-1, impatient)
	p.plan.Destinations = nil
	for _, l := range looks {
		select {
		case <-l.done:
			p.plan.Destinations = append(p.plan.Destinations, l.answer)
		default:
			p.late = append(p.late, l)
		}
	}
}

// waitForRest waits for n more answers, or until patience ends.
func waitForRest(answered <-chan struct{}, n int, impatient bool) {
	var enough <-chan time.Time
	if impatient {
		timer := time.NewTimer(lookPatience)
		defer timer.Stop()
		enough = timer.C
	}
	for range n {
		select {
		case <-answered:
		case <-enough:
			return
		}
	}
}

// look finds what is at a destination. Only the answer "not there" means that: every other
// error is one.
func (p *DestinationPlan) look(ctx context.Context) {
	name := written(p.Reference)
	if name == "" || p.Err != nil || p.remembered {
		return
	}
	there, err := p.target.Resolve(ctx, name)
	switch {
	case err == nil:
		p.Previous, p.there = there.Digest, there
	case !errors.Is(err, content.ErrNotFound):
		p.Action, p.Err = ActionNone, onSide(SideDestination, p.Reference, err)
	}
}

// planLate plans for one destination that has answered late.
func (p *planner) planLate(ctx context.Context, l *look) (*Plan, error) {
	<-l.done // ends with the run's context
	q := &planner{
		engine: p.engine,
		plan: &Plan{
			Job: p.plan.Job, Source: p.plan.Source, source: p.plan.source,
			Destinations: []DestinationPlan{l.answer},
		},
		manifests: p.manifests,
	}
	if err := q.image(ctx); err != nil {
		return nil, onSide(SideSource, p.plan.Job.Source, err)
	}
	return q.plan, nil
}
