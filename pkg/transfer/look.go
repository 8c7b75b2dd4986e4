package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// lookPatience is how much longer than the source the destinations may take to answer,
// before the image goes to those that have; and those that answer late, than the first of them.
const lookPatience = 2 * time.Second

// look is the question to one destination what is there.
type look struct {
	at     int // in the job's destinations
	done   chan struct{}
	answer DestinationPlan
}

func (l *look) answered() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// looks are the questions of one job that have not been taken note of yet.
type looks struct {
	engine  *Engine
	open    []*look
	answers chan struct{} // has one element for each answer, which it follows
}

// resolve looks at the source and at every destination, at the same time. An impatient one
// takes destinations that do not answer out of the plan and leaves them in p.late: a host
// that hangs holds up no other.
func (p *planner) resolve(ctx context.Context, impatient bool) (err error) {
	lookCtx, cancel := context.WithCancel(ctx)
	p.stopLooking = cancel
	var looking sync.WaitGroup
	p.late.answers = make(chan struct{}, len(p.plan.Destinations))
	for i, d := range p.plan.Destinations {
		l := &look{at: i, done: make(chan struct{}), answer: d}
		p.late.open = append(p.late.open, l)
		looking.Go(func() {
			p.engine.look(lookCtx, p.plan.Job, p.plan.source, &l.answer)
			close(l.done)
			p.late.answers <- struct{}{}
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
		p.plan.Destinations = plansOf(p.late.gather(impatient))
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

// gather takes those that have answered, and waits for the others: an impatient one not for
// long, and not at all for registries that hang.
func (q *looks) gather(impatient bool) (answered []*look) {
	var enough <-chan time.Time
	if impatient {
		timer := time.NewTimer(lookPatience)
		defer timer.Stop()
		enough = timer.C
	}
	for q.expects(impatient) {
		select {
		case <-q.answers:
		case <-enough:
			return q.take()
		}
	}
	return q.take()
}

// expects reports whether one has not answered that may do so soon.
func (q *looks) expects(impatient bool) bool {
	return slices.ContainsFunc(q.open, func(l *look) bool {
		return !l.answered() && (!impatient || !q.silent(l, longSilence))
	})
}

// silent reports whether the registry that a question went to has answered none for d.
func (q *looks) silent(l *look, d time.Duration) bool {
	return l.answer.target != nil && q.engine.silences.lasts(slotName(l.answer.target), d)
}

// hold returns when all of open have answered, or come from registries that are silent. As
// long as a busy one works off its questions, no more jobs are to ask it.
func (q *looks) hold(open []*look) {
	for _, l := range open {
		for !l.answered() && !q.silent(l, lookPatience) {
			timer := time.NewTimer(lookPatience)
			select {
			case <-l.done:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

// take separates those that have answered from the others.
func (q *looks) take() (answered []*look) {
	var open []*look
	for _, l := range q.open {
		if l.answered() {
			answered = append(answered, l)
		} else {
			open = append(open, l)
		}
	}
	q.open = open
	return answered
}

// next waits for the next answers, those that come together in one; there are none where
// all were taken.
func (q *looks) next() (answered []*look) {
	for len(q.open) > 0 {
		if answered = q.take(); len(answered) > 0 {
			return append(answered, q.gather(true)...)
		}
		<-q.answers // ends with the job's context
	}
	return nil
}

func plansOf(answered []*look) []DestinationPlan {
	plans := make([]DestinationPlan, 0, len(answered))
	for _, l := range answered {
		plans = append(plans, l.answer)
	}
	return plans
}

// look finds what is at a destination. Only the answer "not there" means that: every other
// error is one.
func (e *Engine) look(ctx context.Context, job Job, source content.Source, p *DestinationPlan) {
	if written(p.Reference) == "" || p.Err != nil || p.Remembered {
		return
	}
	registry := slotName(p.target)
	e.silences.begin(registry)
	defer e.silences.end(registry)
	there, err := e.resolveAt(ctx, job, source, p)
	switch {
	case err == nil:
		p.Previous, p.there = there.Digest, there
	case !errors.Is(err, content.ErrNotFound):
		p.Action, p.Err = ActionNone, onSide(SideDestination, p.Reference, deferral(ctx, err))
	}
}
