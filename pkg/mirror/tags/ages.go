package tags

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
)

// Ages returns the facts about a tag that its name does not contain. Its methods are called concurrently.
type Ages interface {
	// Created returns the creation date of the image ([content.Created]); zero if it has none that can be read.
	Created(ctx context.Context, tag string) (time.Time, error)
	// Pushed returns when the tag was pushed; zero if the registry does not state it for this tag. The error is
	// a content.ErrUnsupported if the registry states it for no tag.
	Pushed(ctx context.Context, tag string) (time.Time, error)
}

// fact is what a rule needs to know about a tag besides its name.
type fact int

const (
	noFact fact = iota
	creationDate
	pushTime
)

func needsCreated(b Block) bool {
	return b.CreatedWithin > 0 || b.OlderThan > 0 || b.Newest.Count > 0 && b.Newest.By == ByCreated
}

// ageChecker applies the age rules of blocks. It reads each age once.
type ageChecker struct {
	ages Ages
	now  time.Time

	mu              sync.Mutex
	created, pushed map[string]time.Time
}

// maxAsked is how many ages are read at a time.
const maxAsked = 8

// decide excludes the candidates whose age does not satisfy a block.
func (c *ageChecker) decide(ctx context.Context, b Block, candidates []candidate, decisions []decision, which []int) error {
	if !needsCreated(b) && b.PushedWithin == 0 {
		return nil
	}
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(maxAsked)
	for _, i := range which {
		if asking.Err() != nil {
			break
		}
		group.Go(func() error {
			left, err := c.check(asking, b, candidates[i].tag)
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

// check returns why the age excludes a tag; zero if it does not. The push time is checked first, because it costs
// one listing for all tags and no pull. An age that is not known satisfies no rule.
func (c *ageChecker) check(ctx context.Context, b Block, tag string) (decision, error) {
	if b.PushedWithin > 0 {
		at, err := c.get(ctx, c.pushed, tag, Ages.Pushed)
		switch age := c.now.Sub(at); {
		case err != nil:
			return decision{}, err
		case at.IsZero():
			return decision{at: atUnknown, rule: "no push time (pushedWithin)", missing: pushTime}, nil
		case age > b.PushedWithin:
			return decision{at: atAge, rule: fmt.Sprintf("pushed %s ago, more than pushedWithin %s", formatAge(age), formatLimit(b.PushedWithin))}, nil
		}
	}
	if !needsCreated(b) {
		return decision{}, nil
	}
	at, err := c.get(ctx, c.created, tag, Ages.Created)
	age := c.now.Sub(at) // negative if clocks differ
	switch {
	case err != nil || b.CreatedWithin == 0 && b.OlderThan == 0:
		return decision{}, err
	case at.IsZero():
		return decision{at: atUnknown, rule: "no creation date (needed by the age rules)", missing: creationDate}, nil
	case b.CreatedWithin > 0 && age > b.CreatedWithin:
		return decision{at: atAge, rule: fmt.Sprintf("created %s ago, more than createdWithin %s", formatAge(age), formatLimit(b.CreatedWithin))}, nil
	case b.OlderThan > 0 && age < b.OlderThan:
		return decision{at: atAge, rule: fmt.Sprintf("created %s ago, less than olderThan %s", formatAge(age), formatLimit(b.OlderThan))}, nil
	default:
		return decision{}, nil
	}
}

func (c *ageChecker) get(ctx context.Context, known map[string]time.Time, tag string, ask func(Ages, context.Context, string) (time.Time, error)) (time.Time, error) {
	c.mu.Lock()
	at, found := known[tag]
	c.mu.Unlock()
	if found {
		return at, nil
	}
	err := content.ErrUnsupported
	if c.ages != nil {
		at, err = ask(c.ages, ctx, tag)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("age of the tag %s: %w", tag, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known[tag] = at
	return at, nil
}

const day = 24 * time.Hour

// formatAge returns an age for messages. An age below zero, of a time in the future, is 0 minutes.
func formatAge(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", max(0, d/time.Minute))
	case d < 2*day:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/day)
	}
}

// formatLimit is a duration as a configuration states it: "90d", "36h".
func formatLimit(d time.Duration) string {
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return d.String()
	}
}
