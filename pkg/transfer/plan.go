package transfer

import (
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/referrers"
)

// Plan is what a job needs. It is data: nothing in it acts.
type Plan struct {
	Job Job
	// Source is what the source's reference was resolved to.
	Source content.Descriptor
	// Image is what the destinations get: Source, or what Platforms made of it.
	Image content.Descriptor
	// Destinations has one element for each distinct destination of the job.
	Destinations []DestinationPlan
	// Referrers are the signatures and other referrers that the source has, as far as the
	// plan took to know them: a list that every destination has as it is was not read.
	Referrers []content.Descriptor
	Warnings  []string

	source content.Source
	tree   *content.Tree // nil where no destination needs it
}

// DestinationPlan is what one destination needs.
type DestinationPlan struct {
	Reference reference.Reference
	Action    Action
	// Previous is what the tag points at; empty if there is none.
	Previous digest.Digest
	// Blobs are those that may have to be sent or mounted: at most so many. It is nil
	// where the action is unchanged.
	Blobs []content.Descriptor
	// Reason is the rule by which it is skipped, with what was found at this image, or why it
	// is unchanged although nobody was asked. Rule is the same without what was found, and so
	// equal for all images that one rule skips.
	Reason, Rule string
	// Referrers is how many signatures and other referrers it lacks: of an image that it
	// has exactly, and of one that it lacks at most so many.
	Referrers int
	// Remembered: an immutable tag was copied there before, and nobody has been asked: Previous
	// is what arrived then. See [Options.Recheck].
	Remembered bool
	// Err says why nothing can be done there; the other destinations go on.
	Err error

	target content.Target
	found  *referrers.Found // nil if referrers were not looked for
	// there is what Previous is the digest of.
	there content.Descriptor
}

// Bytes is the most that may have to be sent, in bytes.
func (p DestinationPlan) Bytes() int64 {
	var sum int64
	for _, d := range p.Blobs {
		sum += d.Size
	}
	return sum
}

// skip leaves the destination as it is.
func (p *DestinationPlan) skip(rule string) { p.skipFor(rule, rule) }

func (p *DestinationPlan) skipFor(rule, reason string) {
	p.Action, p.Rule, p.Reason = ActionSkip, rule, reason
}

// served reports whether the image is brought to the destination or was seen there, so that
// what is attached to it belongs there too.
func (p DestinationPlan) served() bool {
	return p.pending() || p.Err == nil && p.Action == ActionUnchanged && !p.Remembered
}

// pending reports whether the image has to be brought to the destination.
func (p DestinationPlan) pending() bool {
	return p.Err == nil && (p.Action == ActionAdd || p.Action == ActionMove)
}
