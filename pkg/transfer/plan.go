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

	tree *content.Tree // nil if it was not read
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
	// Rule is why it is skipped. Under RuleCopied the action is unchanged, and Previous is the
	// image that was copied then: see [Options].Recheck.
	Rule Rule
	// Referrers is how many signatures and other referrers it lacks: of an image that it
	// has exactly, and of one that it lacks at most so many.
	Referrers int
	// Err says why nothing can be done there; the other destinations go on.
	Err error

	target content.Target
	found  *referrers.Found // nil if referrers were not looked for
}

// Bytes is the most that may have to be sent, in bytes.
func (p DestinationPlan) Bytes() int64 {
	var sum int64
	for _, d := range p.Blobs {
		sum += d.Size
	}
	return sum
}

// remembered reports whether neither side is asked.
func (p DestinationPlan) remembered() bool { return p.Rule.Kind == RuleCopied }

// served reports whether the image is brought to the destination or was seen there, so that
// what is attached to it belongs there too.
func (p DestinationPlan) served() bool {
	return p.pending() || p.Err == nil && p.Action == ActionUnchanged && !p.remembered()
}

// pending reports whether the image has to be brought to the destination.
func (p DestinationPlan) pending() bool {
	return p.Err == nil && (p.Action == ActionAdd || p.Action == ActionMove)
}
