package tags

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
)

// Ages tells what the name of a tag does not. It is asked concurrently.
type Ages interface {
	// Created is when the image says that it was made; the zero time where it does not.
	Created(ctx context.Context, tag string) (time.Time, error)
	// Pushed is when the tag was pushed; the zero time where the registry does not know.
	// The error is a content.ErrUnsupported where it never tells.
	Pushed(ctx context.Context, tag string) (time.Time, error)
}

// NeedsCreated reports whether Choose may ask when images were made.
func (s Selector) NeedsCreated() bool {
	for _, b := range s {
		if b.needsCreated() {
			return true
		}
	}
	return false
}

// NeedsPushed reports whether Choose may ask when tags were pushed.
func (s Selector) NeedsPushed() bool {
	for _, b := range s {
		if b.PushedWithin > 0 {
			return true
		}
	}
	return false
}

func (b Block) needsCreated() bool {
	return b.CreatedWithin > 0 || b.OlderThan > 0 || b.Newest.Count > 0 && b.Newest.By == ByCreated
}

func (b Block) needsAges() bool { return b.needsCreated() || b.PushedWithin > 0 }

// inquiry asks for ages, once about each tag, and keeps the answers for the next block.
type inquiry struct {
	ages Ages
	now  time.Time

	mu      sync.Mutex
	created map[string]time.Time
	pushed  map[string]time.Time
}

func newInquiry(ages Ages, now time.Time) *inquiry {
	return &inquiry{ages: ages, now: now, created: map[string]time.Time{}, pushed: map[string]time.Time{}}
}

// maxAsked is how many tags are asked about at a time.
const maxAsked = 8

// ask decides by age about some of the candidates, all of which were taken so far.
func (b Block) ask(ctx context.Context, candidates []candidate, decisions []decision, which []int, asked *inquiry) error {
	if !b.needsAges() {
		return nil
	}
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(maxAsked)
	for _, i := range which {
		if asking.Err() != nil {
			break
		}
		group.Go(func() error {
			reason, err := b.byAge(asking, candidates[i].tag, asked)
			if err == nil && reason != "" {
				decisions[i] = decision{atAge, reason}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// byAge says why a tag is too old or too young; empty if it is neither. When it was pushed
// is asked first: that costs one listing for all tags, and no pull.
//
// A time that nobody states satisfies no rule: who wants the images of 90 days does not want
// those of any age, and who wants them to have settled for a week cannot know that.
func (b Block) byAge(ctx context.Context, tag string, asked *inquiry) (string, error) {
	if b.PushedWithin > 0 {
		at, err := asked.whenPushed(ctx, tag)
		switch {
		case err != nil:
			return "", err
		case at.IsZero():
			return "the registry does not know when it was pushed, and pushedWithin is asked for", nil
		case asked.now.Sub(at) > b.PushedWithin:
			return fmt.Sprintf("pushed %s ago, over pushedWithin %s", ago(asked.now.Sub(at)), days(b.PushedWithin)), nil
		}
	}
	if !b.needsCreated() {
		return "", nil
	}
	at, err := asked.whenCreated(ctx, tag)
	if err != nil {
		return "", err
	}
	return b.byCreation(at, asked.now), nil
}

func (b Block) byCreation(at, now time.Time) string {
	age := now.Sub(at)
	switch {
	case b.CreatedWithin == 0 && b.OlderThan == 0:
		return ""
	case at.IsZero():
		return "states no time of creation, and an age is asked for"
	case b.CreatedWithin > 0 && age > b.CreatedWithin:
		return fmt.Sprintf("created %s ago, over createdWithin %s", ago(age), days(b.CreatedWithin))
	case b.OlderThan > 0 && age < b.OlderThan: // an age may be negative: clocks differ
		return fmt.Sprintf("created %s ago, under olderThan %s", ago(age), days(b.OlderThan))
	default:
		return ""
	}
}

// whenCreated is zero where the image states no time. Builds that can be repeated state the
// year 1 or 1970, which is none.
func (q *inquiry) whenCreated(ctx context.Context, tag string) (time.Time, error) {
	if q.ages == nil {
		return time.Time{}, fmt.Errorf("age of the tag %s: %w", tag, content.ErrUnsupported)
	}
	at, err := q.once(ctx, q.created, tag, q.ages.Created)
	if !at.After(time.Unix(0, 0)) {
		at = time.Time{}
	}
	return at, err
}

func (q *inquiry) whenPushed(ctx context.Context, tag string) (time.Time, error) {
	if q.ages == nil {
		return time.Time{}, fmt.Errorf("age of the tag %s: %w", tag, content.ErrUnsupported)
	}
	return q.once(ctx, q.pushed, tag, q.ages.Pushed)
}

func (q *inquiry) once(ctx context.Context, known map[string]time.Time, tag string, ask func(context.Context, string) (time.Time, error)) (time.Time, error) {
	q.mu.Lock()
	at, found := known[tag]
	q.mu.Unlock()
	if found {
		return at, nil
	}
	at, err := ask(ctx, tag)
	if err != nil {
		return time.Time{}, fmt.Errorf("age of the tag %s: %w", tag, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	known[tag] = at
	return at, nil
}

const day = 24 * time.Hour

// ago is a time that has passed, for people; the future is now.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", max(0, d/time.Minute))
	case d < 2*day:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/day)
	}
}

// days is a duration as a configuration states it: "90d", "36h".
func days(d time.Duration) string {
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return d.String()
	}
}
