package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/deliver"
	"github.com/regsync/regsync/pkg/transfer/internal/referrers"
)

// ReferrersError means that signatures or other referrers of an image could not be found or copied.
type ReferrersError struct {
	// Tagged: the tag at the destination points to the image.
	Tagged bool
	// Count is how many referrers failed. Err is the first failure; its text names the referrer.
	Count int
	Err   error
}

func (e *ReferrersError) Error() string {
	text := "the tag was not written: "
	if e.Tagged {
		text = "not all referrers were copied: "
	}
	text += e.Err.Error()
	if e.Count > 1 {
		text += fmt.Sprintf(" (and %d more)", e.Count-1)
	}
	return text
}

// Unwrap returns Err.
func (e *ReferrersError) Unwrap() error { return e.Err }

func destinationOf(p *DestinationPlan) referrers.Destination {
	return referrers.Destination{
		Target: p.target, Lacks: p.pending(),
		Failed: func(err error) error { return onSide(SideDestination, p.Reference, err) },
	}
}

// pushReferrers copies the referrers that the destination lacks. failed is what could not be found or copied; nil if nothing.
func (d *delivery) pushReferrers(ctx context.Context, by *deliver.Delivery, failures ...*referrers.Error) (failed *ReferrersError) {
	to := &d.plan.Destinations[0]
	if to.found != nil {
		copied, notCopied := d.engine.referrers.Push(ctx, by.ForAttached(), destinationOf(to), to.found.Missing)
		d.copied = copied
		failures = slices.Concat(failures, to.found.Failures, notCopied)
	}
	if !d.image.job.ReferrersRequired {
		all := len(failures)
		failures = slices.DeleteFunc(failures, func(e *referrers.Error) bool { return e.Refused })
		d.refused = all - len(failures)
		d.incomplete = d.refused > 0 || to.found != nil && to.found.Incomplete
	} else if to.found != nil && to.found.Incomplete {
		failures = append(failures, &referrers.Error{What: "referrers", Err: errIncomplete})
	}
	if len(failures) == 0 {
		return nil
	}
	// Errors that keep the tag from moving are first.
	slices.SortStableFunc(failures, func(a, b *referrers.Error) int { return rank(a) - rank(b) })
	return &ReferrersError{Count: len(failures), Err: failures[0]}
}

// errIncomplete is the failure of a search that left something out; a warning names it.
var errIncomplete = errors.New("incomplete search (see the warnings)")

// rank orders failures: first those of referrers that exist and may be copied later, then other temporary
// ones, then those that will not pass.
func rank(e *referrers.Error) int {
	switch {
	case !passing(e):
		return 2
	case !e.Found:
		return 1
	default:
		return 0
	}
}

// passing reports whether the cause of an error is temporary: a later attempt, in this run or another, may succeed.
func passing(err error) bool {
	_, down := errors.AsType[*limit.DownError](err)
	return down || retry.Retryable(err) || errors.Is(Paused(err), ErrDeferred)
}

// holdsBack reports whether the tag must not move. A cluster that verifies signatures would refuse an
// image whose signatures are missing, so an existing tag stays as it is until they have been copied. A
// referrer that will never be copied does not hold the tag back.
func (e *ReferrersError) holdsBack(job Job, action Action) bool {
	if e == nil || action == ActionUnchanged {
		return false
	}
	first, _ := errors.AsType[*referrers.Error](e.Err)
	return job.ReferrersRequired || action == ActionMove && first != nil && rank(first) == 0
}
