package tags

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

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
