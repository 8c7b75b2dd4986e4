package report

import (
	"encoding/hex"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Status is how a destination ended.
type Status string

// The statuses of a destination.
const (
	StatusPending   Status = "pending" // of a plan: a run would copy it
	StatusCopied    Status = "copied"
	StatusUnchanged Status = "unchanged" // it was up to date
	StatusSkipped   Status = "skipped"   // a rule of the configuration leaves it as it is
	StatusKept      Status = "kept"      // the image is gone at the source, and was left at the destination
	StatusDeferred  Status = "deferred"  // left to the next run
	StatusFailed    Status = "failed"
)

// StatusOf returns how a destination ended. What was interrupted did not fail.
func StatusOf(r transfer.DestinationResult) Status {
	switch {
	case IsDeferred(r.Err):
		return StatusDeferred
	case r.Err != nil:
		return StatusFailed
	case r.Action == transfer.ActionUnchanged:
		return StatusUnchanged
	case r.Action == transfer.ActionKeep:
		return StatusKept
	case r.Action == transfer.ActionSkip || r.Action == transfer.ActionNone:
		return StatusSkipped
	default:
		return StatusCopied
	}
}

// PlannedStatus returns what a plan says of a destination.
func PlannedStatus(to transfer.DestinationPlan) Status {
	status := StatusOf(transfer.DestinationResult{Action: to.Action, Err: to.Err})
	if status == StatusCopied {
		return StatusPending
	}
	return status
}

// Counts counts tags at destinations: those of Add, Move, Unchanged, Kept, Skipped, Deferred and Failed are Tags in
// all. An image whose source failed is one failure, however many destinations it has.
type Counts struct {
	Tags int `json:"tags"`
	// Images is the number of different images that are at a destination under their tags now.
	Images int `json:"images"`
	// Copied is Add and Move of a run; 0 in a plan.
	Copied int `json:"copied"`
	// Add and Move are the tags that were copied or, in a plan, would be: new tags, and tags that pointed to another image.
	Add       int `json:"add"`
	Move      int `json:"move"`
	Unchanged int `json:"unchanged"`
	// Immutable is the part of Unchanged that was not checked at either side: immutable tags that were copied in an earlier run.
	Immutable int `json:"immutable,omitempty"`
	// Trusted is the part of Unchanged that was not checked at the destination, because verify is sampled.
	Trusted int `json:"trusted,omitempty"`
	// Kept images no longer exist at the source, and were kept at the destination.
	Kept int `json:"kept,omitempty"`
	// Skipped tags were not copied because of a rule of the configuration.
	Skipped int `json:"skipped"`
	// Deferred tags are left to the next run: the run or the time of their entry ended, or a registry accepts no more
	// requests until later.
	Deferred int `json:"deferred"`
	Failed   int `json:"failed"`
	// Denied is the part of Failed that was a refused login or a missing permission.
	Denied int `json:"denied,omitempty"`
	// Incomplete is the part of Failed whose tag was written, but not all of its referrers.
	Incomplete int `json:"incomplete,omitempty"`
	// Referrers are the signatures and other referrers that were (in a plan: would be) copied, also those of unchanged
	// images.
	Referrers int `json:"referrers"`
	// NotAccepted are the referrers that were left out because their destination does not accept them.
	NotAccepted int `json:"referrersNotAccepted,omitempty"`
	// WithoutAttestations is the part of Copied whose index lost its attestations, because the destination does not accept
	// them.
	WithoutAttestations int `json:"withoutAttestations,omitempty"`
}

// UpToDate is the number of tags that are as the configuration wants them, or are left as they are by it.
func (c Counts) UpToDate() int { return c.Add + c.Move + c.Unchanged + c.Kept + c.Skipped }

// Pending reports whether a plan has something to do. What a rule holds back is not.
func (c Counts) Pending() bool { return c.Add > 0 || c.Move > 0 || c.Referrers > 0 }

// Tally counts the results of a run or the items of a plan, and those of each entry. The zero value is ready.
type Tally struct {
	Counts Counts `json:"counts"`
	// Entries has the counts of each entry of the configuration, in its order; those of one name are one.
	Entries []Entry `json:"entries,omitempty"`
	// NotStarted is what a run that ended early did not start; nil if there is nothing.
	NotStarted *NotStarted `json:"notStarted,omitempty"`

	index  map[string]int
	images digests
}

// Entry is the counts of one entry of the configuration.
type Entry struct {
	Name   string `json:"name"`
	Counts Counts `json:"counts"`
	// NotStarted is how many of its images were known and not started, and Unlisted that there may be more.
	NotStarted int  `json:"notStarted,omitempty"`
	Unlisted   bool `json:"unlisted,omitempty"`

	images digests
}

// NotStarted counts images that were known and not started, and the entries they belong to.
type NotStarted struct {
	Tags    int `json:"tags"`
	Entries int `json:"entries"`
	// Unlisted: there may be more, because some repositories had not been listed.
	Unlisted bool `json:"unlisted,omitempty"`
}

// entry returns an entry; nil if the name is empty.
func (t *Tally) entry(name string) *Entry {
	if name == "" {
		return nil
	}
	i, known := t.index[name]
	if !known {
		if t.index == nil {
			t.index = map[string]int{}
		}
		i = len(t.Entries)
		t.index[name] = i
		t.Entries = append(t.Entries, Entry{Name: name})
	}
	return &t.Entries[i]
}

// outcome is how an image ended, or in a plan would end, at one destination.
type outcome struct {
	status                 Status
	action                 transfer.Action
	rule                   transfer.RuleKind
	err                    error
	digest                 digest.Digest // what is there now; empty in a plan
	referrers, notAccepted int
	withoutAttestations    bool
}

// Add counts how an image ended at all of its destinations.
func (t *Tally) Add(r *transfer.Result) {
	var outcomes []outcome
	for _, d := range r.Destinations {
		outcomes = append(outcomes, outcome{StatusOf(d), d.Action, d.Rule.Kind, d.Err, d.Digest, d.Referrers, d.Refused, d.WithoutAttestations})
	}
	t.add(r.Job.Entry, outcomes)
}

// AddPlan counts what [transfer.Engine.Plan] yields: a plan, or the error of an image that could not be planned.
func (t *Tally) AddPlan(p *transfer.Plan, err error) {
	var outcomes []outcome
	for _, to := range planned(p, err) {
		o := outcome{status: PlannedStatus(to), action: to.Action, rule: to.Rule.Kind, err: to.Err}
		if o.status == StatusPending || o.status == StatusUnchanged {
			o.referrers, o.notAccepted = to.Referrers, to.Refused
		}
		outcomes = append(outcomes, o)
	}
	if len(outcomes) == 0 && err != nil {
		outcomes = []outcome{{status: StatusOf(transfer.DestinationResult{Err: err}), err: err}}
	}
	t.add(p.Job.Entry, outcomes)
}

// planned returns the destinations of a plan. Those that nothing was decided for because the image could not be planned,
// or because it is not known which referrers it needs, have that error.
func planned(p *transfer.Plan, err error) []transfer.DestinationPlan {
	all := slices.Clone(p.Destinations)
	if len(all) == 0 && err != nil {
		for _, to := range p.Job.Destinations {
			all = append(all, transfer.DestinationPlan{Reference: to})
		}
	}
	unknown := incomplete(p)
	for i := range all {
		to := &all[i]
		switch undecided := to.Action == "" || to.Action == transfer.ActionNone; {
		case to.Err != nil:
		case undecided && err != nil:
			to.Action, to.Err = transfer.ActionNone, err
		case to.Action != transfer.ActionKeep:
			to.Err = unknown
		}
	}
	return all
}

// add counts the outcomes of one image. A failure of the source is counted once for each cause.
func (t *Tally) add(entry string, outcomes []outcome) {
	told := map[Cause]bool{}
	e := t.entry(entry)
	for _, o := range outcomes {
		first := true
		if o.status == StatusFailed && ofSource(o.err) {
			cause := CauseOf(o.err)
			first = !told[cause]
			told[cause] = true
		}
		t.Counts.add(o, first, &t.images)
		if e != nil {
			e.Counts.add(o, first, &e.images)
		}
	}
}

// incomplete returns why it is not known which referrers an image needs; nil if it is known.
func incomplete(p *transfer.Plan) error {
	for _, w := range p.Warnings {
		if w.Kind == warning.ReferrersFailed {
			return w.Err
		}
	}
	return nil
}

// AddErrors counts one item that is no copy: a success if all errs are nil. It counts as denied only if all its errors do.
func (t *Tally) AddErrors(errs ...error) {
	o := outcome{status: StatusUnchanged}
	for _, err := range errs {
		if err != nil && (o.err == nil || isDenied(o.err)) {
			o.err, o.status = err, StatusOf(transfer.DestinationResult{Err: err})
		}
	}
	t.add("", []outcome{o})
}

// add counts an outcome, with its tag unless that is counted already.
func (c *Counts) add(o outcome, tag bool, images *digests) {
	c.Referrers += o.referrers
	c.NotAccepted += o.notAccepted
	if o.digest != "" && o.status != StatusSkipped && images.add(o.digest) {
		c.Images++
	}
	if !tag {
		return
	}
	c.Tags++
	if o.status == StatusCopied {
		c.Copied++
		if o.withoutAttestations {
			c.WithoutAttestations++
		}
	}
	switch o.status {
	case StatusCopied, StatusPending:
		if o.action == transfer.ActionMove {
			c.Move++
		} else {
			c.Add++
		}
	case StatusUnchanged:
		c.Unchanged++
		switch o.rule {
		case transfer.RuleCopied:
			c.Immutable++
		case transfer.RuleSeen:
			c.Trusted++
		}
	case StatusKept:
		c.Kept++
	case StatusSkipped:
		c.Skipped++
	case StatusDeferred:
		c.Deferred++
	case StatusFailed:
		c.Failed++
		if isDenied(o.err) {
			c.Denied++
		}
		if failed, ok := errors.AsType[*transfer.ReferrersError](o.err); ok && failed.Tagged {
			c.Incomplete++
		}
	}
}

// ofSource reports whether an error is a failure of the source, which all destinations share.
func ofSource(err error) bool {
	side, ok := errors.AsType[*transfer.Error](err)
	return ok && side.Side == transfer.SideSource
}

// NotStart counts images of an entry that were known and not started; unlisted says that there may be more. entry may be
// empty.
func (t *Tally) NotStart(entry string, tags int, unlisted bool) {
	if tags == 0 && !unlisted {
		return
	}
	if t.NotStarted == nil {
		t.NotStarted = &NotStarted{}
	}
	e := t.entry(entry)
	if e == nil {
		e = &Entry{}
	}
	if e.NotStarted == 0 && !e.Unlisted {
		t.NotStarted.Entries++
	}
	e.NotStarted += tags
	e.Unlisted = e.Unlisted || unlisted
	t.NotStarted.Tags += tags
	t.NotStarted.Unlisted = t.NotStarted.Unlisted || unlisted
}

// digests counts different digests. It keeps the sums of sha256 only, 32 bytes each: a run may have tens of thousands
// of images.
type digests struct {
	sums   map[[32]byte]struct{}
	others map[digest.Digest]struct{}
}

// add reports whether d is new.
func (s *digests) add(d digest.Digest) bool {
	var sum [32]byte
	if d.Validate() == nil && d.Algorithm() == digest.SHA256 {
		_, _ = hex.Decode(sum[:], []byte(d.Encoded())) // Validate has checked it
		return isFirst(&s.sums, sum)
	}
	return isFirst(&s.others, d)
}

func isFirst[K comparable](seen *map[K]struct{}, key K) bool {
	if _, known := (*seen)[key]; known {
		return false
	}
	if *seen == nil {
		*seen = map[K]struct{}{}
	}
	(*seen)[key] = struct{}{}
	return true
}
