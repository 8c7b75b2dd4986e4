package tags

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
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
			left, err := b.byAge(asking, candidates[i].tag, asked)
			if err == nil && left.rule != "" {
				decisions[i] = left
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// byAge says why a tag is too old or too young; zero if it is neither. When it was pushed
// is asked first: that costs one listing for all tags, and no pull.
//
// A time that nobody states satisfies no rule: who wants the images of 90 days does not want
// those of any age, and who wants them to have settled for a week cannot know that.
func (b Block) byAge(ctx context.Context, tag string, asked *inquiry) (decision, error) {
	if b.PushedWithin > 0 {
		at, err := asked.whenPushed(ctx, tag)
		switch {
		case err != nil:
			return decision{}, err
		case at.IsZero():
			return decision{atNoAge, "the registry does not know when it was pushed, and pushedWithin is asked for"}, nil
		case asked.now.Sub(at) > b.PushedWithin:
			return decision{atAge, fmt.Sprintf("pushed %s ago, over pushedWithin %s", ago(asked.now.Sub(at)), days(b.PushedWithin))}, nil
		}
	}
	if !b.needsCreated() {
		return decision{}, nil
	}
	at, err := asked.whenCreated(ctx, tag)
	if err != nil {
		return decision{}, err
	}
	return b.byCreation(at, asked.now), nil
}

func (b Block) byCreation(at, now time.Time) decision {
	age := now.Sub(at)
	switch {
	case b.CreatedWithin == 0 && b.OlderThan == 0:
		return decision{}
	case at.IsZero():
		return decision{atNoAge, "states no time of creation, and an age is asked for"}
	case b.CreatedWithin > 0 && age > b.CreatedWithin:
		return decision{atAge, fmt.Sprintf("created %s ago, over createdWithin %s", ago(age), days(b.CreatedWithin))}
	case b.OlderThan > 0 && age < b.OlderThan: // an age may be negative: clocks differ
		return decision{atAge, fmt.Sprintf("created %s ago, under olderThan %s", ago(age), days(b.OlderThan))}
	default:
		return decision{}
	}
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
