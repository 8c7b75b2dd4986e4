package list

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

const (
	// lookahead is how many sources may be in listing, or listed and not finished, at a time. Sources that hang, so that
	// nothing becomes ready for the patience, do not count; lookaheadMost bounds all of them.
	lookahead       = 32
	lookaheadMost   = 256
	defaultPatience = 2 * time.Second
)

// Options configures a [Scheduler].
type Options struct {
	Entries []config.Entry
	// Fair skips sources that are still being listed. Otherwise, the scheduler waits for them, to keep the order of
	// the configuration.
	Fair bool
	// Read lists a feed. It is called concurrently.
	Read func(context.Context, *Feed) Result
	// Listing is called before a feed is listed at a registry. It does not wait.
	Listing func(*Feed)
	// Wanted reports whether a feed has images to copy; nil means all have.
	Wanted func(*Feed) bool
	// Uses is called with the repositories that have feeds or open jobs.
	Uses interface {
		Expect(repository reference.Reference)
		Release(repository reference.Reference)
	}
	// Patience is how long nothing may become ready before a fair scheduler lists more at a time, as some listings
	// hang; 2 s if zero.
	Patience time.Duration
	// Draining, once it is closed, ends the feeds.
	Draining <-chan struct{}
}

// Scheduler decides which source of a configuration is listed next, and which gives the next job: the first in the
// order of the configuration that is listed and has claimed its tags. The engine decides how entries share its
// capacity. The cost of a choice does not grow with the number of entries.
type Scheduler struct {
	options Options
	// changed has an element when a listing has ended.
	changed chan struct{}
	reading sync.WaitGroup

	mu     sync.Mutex
	queues []*queue
	// order has the indexes of queues with feeds that are not begun, in the order of the configuration; turns has the
	// same in the order in which a fair scheduler lists them. An empty queue is dropped at its turn.
	order, turns []int
	live         []*Feed // begun and not done, in the order of the configuration
	table        *conflict.Table
	// opened are the feeds of jobs without a result.
	opened map[job][]*Feed
}

// queue has the sources of one entry that have not been started.
type queue struct {
	entry  int
	coming []*Feed
	began  time.Time
}

// job finds the feed of a job.
type job struct {
	entry  string
	source reference.Reference
}

// NewScheduler returns a scheduler for one run.
func NewScheduler(options Options) *Scheduler {
	s := &Scheduler{options: options, changed: make(chan struct{}, 1), table: conflict.NewTable(), opened: map[job][]*Feed{}}
	var all []*Feed
	for i := range options.Entries {
		e := &options.Entries[i]
		q := &queue{entry: i}
		s.queues = append(s.queues, q)
		rules := conflict.NewEntry(e.Name, e.Tags, e.Platforms, e.Destinations)
		for j, source := range e.Sources {
			f := &Feed{Entry: e, Source: source, From: source, queue: q}
			f.Writer = conflict.Writer{Order: conflict.Order{i, j}, Entry: rules, Source: source.Sample()}
			all = append(all, f)
		}
	}
	for _, f := range s.admit(all) {
		f.queue.coming = append(f.queue.coming, f)
	}
	for i, q := range s.queues {
		if len(q.coming) > 0 {
			s.order, s.turns = append(s.order, i), append(s.turns, i)
		}
	}
	return s
}

// admit registers feeds, and returns those to list: the wanted ones, and those before a wanted one that may write to
// the same repository.
func (s *Scheduler) admit(feeds []*Feed) []*Feed {
	for _, f := range feeds {
		s.table.Register(&f.Writer)
		f.Unwanted = s.options.Wanted != nil && !s.options.Wanted(f)
	}
	return slices.DeleteFunc(feeds, func(f *Feed) bool {
		if f.Unwanted && !s.table.Precedes(&f.Writer) {
			s.table.Remove(&f.Writer)
			return true
		}
		if f.Source.Glob == "" {
			s.options.Uses.Expect(f.repository())
		}
		return false
	})
}

// Next waits for the feed of the next job. It reports false if there is none left, or if the run is to end.
func (s *Scheduler) Next(ctx context.Context) (*Feed, bool) {
	for ctx.Err() == nil && !s.Draining() {
		f, left := s.step(ctx)
		if f != nil || !left {
			return f, f != nil
		}
		var patience <-chan time.Time
		if s.options.Fair {
			patience = time.After(cmp.Or(s.options.Patience, defaultPatience))
		}
		select {
		case <-s.changed:
		case <-patience:
			s.mu.Lock()
			for _, f := range s.live {
				f.stuck = true
			}
			s.mu.Unlock()
		case <-s.options.Draining:
		case <-ctx.Done():
		}
	}
	return nil, false
}

// Draining reports whether the run is to end.
func (s *Scheduler) Draining() bool {
	select {
	case <-s.options.Draining:
		return true
	default:
		return false
	}
}

// step begins listings, claims the tags of those that have ended and picks the next feed. Left reports whether there
// will be more.
func (s *Scheduler) step(ctx context.Context) (_ *Feed, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.begin(ctx) || s.decide() {
		continue
	}
	for _, f := range s.live {
		if f.state == stateReady {
			return f, true
		}
		if !s.options.Fair {
			break
		}
	}
	return nil, len(s.live) > 0 || s.first(&s.order) != nil
}

// first is the first of some queues that has a feed which is not begun.
func (s *Scheduler) first(indexes *[]int) *queue {
	for len(*indexes) > 0 {
		if q := s.queues[(*indexes)[0]]; len(q.coming) > 0 {
			return q
		}
		*indexes = (*indexes)[1:]
	}
	return nil
}

// begin starts the next listing, if there is one and the limit allows it. In a fair scheduler, entries take turns.
// mu is held.
func (s *Scheduler) begin(ctx context.Context) bool {
	q := s.first(&s.order)
	if q == nil {
		return false
	}
	first := q
	if s.options.Fair {
		q = s.first(&s.turns)
	}
	if !s.hasRoom(q.coming[0]) {
		// The first feed may always start, because others may wait for its claims.
		if q = first; len(s.live) > 0 && s.live[0].Order.Before(q.coming[0].Order) {
			return false
		}
	} else if s.options.Fair {
		if s.turns = s.turns[1:]; len(q.coming) > 1 {
			s.turns = append(s.turns, q.entry)
		}
	}
	f := q.coming[0]
	q.coming = q.coming[1:]
	at, _ := slices.BinarySearchFunc(s.live, f, func(a, b *Feed) int { return slices.Compare(a.Order[:], b.Order[:]) })
	s.live = slices.Insert(s.live, at, f)
	f.state = stateListing
	if q.began.IsZero() {
		q.began = time.Now()
	}
	if !f.Remote() {
		s.listed(ctx, f, s.options.Read(ctx, f))
		return true
	}
	s.options.Listing(f)
	s.reading.Go(func() {
		result := s.options.Read(ctx, f)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.listed(ctx, f, result)
		select {
		case s.changed <- struct{}{}:
		default:
		}
	})
	return true
}

// hasRoom reports whether one more may be listed. If the order is kept, only feeds before it count, because the
// matches of a pattern are before feeds that were listed in the meantime.
func (s *Scheduler) hasRoom(next *Feed) bool {
	counted := 0
	for _, f := range s.live {
		if s.options.Fair && !f.stuck || !s.options.Fair && f.Order.Before(next.Order) {
			counted++
		}
	}
	return counted < lookahead && len(s.live) < lookaheadMost
}

// listed takes the result of a listing. mu is held.
func (s *Scheduler) listed(ctx context.Context, f *Feed, result Result) {
	if ctx.Err() != nil && (result.Err == nil || errors.Is(result.Err, ctx.Err())) {
		return // the run has ended, and the result is incomplete
	}
	f.Result = result
	f.state = stateListed
}

// decide claims the tags of the first feed that is listed and waits for no other. It reports whether there was one. mu is
// held.
func (s *Scheduler) decide() bool {
	for _, f := range s.live {
		switch {
		case f.state != stateListed:
		case len(f.Sources) > 0 && f.Err == nil:
			s.expand(f)
			return true
		case !s.table.Waits(&f.Writer):
			f.state = stateReady
			if f.Unknown {
				s.table.Fail(&f.Writer)
			} else {
				s.table.Claim(&f.Writer, f.Tags)
			}
			if f.Unwanted && !f.Unknown {
				s.remove(f)
				s.release(f)
			}
			return true
		}
	}
	return false
}

// expand replaces a pattern of repositories by its matches. mu is held.
func (s *Scheduler) expand(f *Feed) {
	q := f.queue
	s.remove(f)
	s.table.Remove(&f.Writer)
	matches := make([]*Feed, len(f.Sources))
	for i, source := range f.Sources {
		m := &Feed{Entry: f.Entry, Source: source, From: f.Source, queue: q}
		m.Writer = conflict.Writer{Order: conflict.Order{f.Order[0], f.Order[1], i}, Entry: f.Writer.Entry, Source: source.Reference}
		matches[i] = m
	}
	if matches = s.admit(matches); len(matches) == 0 {
		return
	}
	matches[0].FirstOf = f
	if len(q.coming) == 0 {
		s.turns = append(s.turns, q.entry)
	}
	q.coming = slices.Concat(matches, q.coming)
	if at, found := slices.BinarySearch(s.order, q.entry); !found {
		s.order = slices.Insert(s.order, at, q.entry)
	}
}

// Take takes the next image of a feed that Next returned; it reports false if there is none.
func (s *Scheduler) Take(f *Feed) (image int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.next == f.Images() {
		s.remove(f)
		s.release(f)
		return 0, false
	}
	f.next++
	return f.next - 1, true
}

// remove drops a feed that has no more images. mu is held.
func (s *Scheduler) remove(f *Feed) {
	f.state = stateDone
	s.live = slices.DeleteFunc(s.live, func(other *Feed) bool { return other == f })
}

// Check reports whether an image of a feed is written to a target, as [conflict.Table] does.
func (s *Scheduler) Check(f *Feed, image, to int, target reference.Reference) (again bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Check(&f.Writer, image, to, target)
}

// Open records a job of a feed, until Ended is called with its result.
func (s *Scheduler) Open(f *Feed, source reference.Reference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := job{f.Entry.Name, source}
	s.opened[at] = append(s.opened[at], f)
	f.open++
}

// Ended takes the result of a job.
func (s *Scheduler) Ended(ended transfer.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := job{ended.Entry, ended.Source}
	feeds := s.opened[at]
	if len(feeds) == 0 {
		return
	}
	if s.opened[at] = feeds[1:]; len(feeds) == 1 {
		delete(s.opened, at)
	}
	feeds[0].open--
	s.release(feeds[0])
}

// release drops the listing of a feed that is no longer needed. mu is held.
func (s *Scheduler) release(f *Feed) {
	if f.state != stateDone || f.open > 0 {
		return
	}
	f.Tags, f.Resolved = nil, nil
	f.Forget()
	if f.Source.Glob == "" {
		s.options.Uses.Release(f.repository())
	}
}

// Rest yields how many images of each entry were not started when the run ended, and whether there may be more in sources
// that have not been listed.
func (s *Scheduler) Rest(yield func(entry string, images int, unlisted bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, feeds := range s.opened {
		// The engine took them, and gave no result: it had not begun them.
		yield(at.entry, len(feeds), false)
	}
	count := func(f *Feed) {
		images, known := f.rest()
		yield(f.Entry.Name, images, !known)
	}
	for _, f := range s.live {
		count(f)
	}
	for _, q := range s.queues {
		for _, f := range q.coming {
			count(f)
		}
	}
}

// Wait waits for the listings that go on.
func (s *Scheduler) Wait() { s.reading.Wait() }
