package transfer

import (
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/referrers"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Plan is what a job needs. It is data: nothing in it acts.
type Plan struct {
	Job Job
	// Source is what the source's reference was resolved to.
	Source content.Descriptor
	// Image is what the destinations get: Source, the manifest of one platform, or a rewritten index.
	Image content.Descriptor
	// Destinations has one element for each distinct destination of the job.
	Destinations []DestinationPlan
	// Referrers are the signatures and other referrers that the source is known to have. A list that is
	// unchanged at every destination was not read.
	Referrers []content.Descriptor
	Warnings  []warning.Warning

	tree *content.Tree // nil if it was not read
}

// DestinationPlan is what one destination needs.
type DestinationPlan struct {
	Reference reference.Reference
	Action    Action
	// Previous is what the tag points at; empty if it does not exist.
	Previous digest.Digest
	// Blobs are those that may have to be sent or mounted; the destination may have some of them. It
	// is nil if the action is unchanged.
	Blobs []content.Descriptor
	// Rule is why the destination is skipped. Under RuleCopied and RuleSeen the action is unchanged, and Previous is
	// the image that was copied or seen then: see [Options].Recheck.
	Rule Rule
	// Referrers is how many signatures and other referrers it lacks: exact if it has the image,
	// otherwise an upper bound.
	Referrers int
	// Refused is how many are left out because the destination has refused such referrers before.
	Refused int
	// BareIndex: the index is copied without its attestations, because the destination has refused some before.
	BareIndex bool
	// Err says why nothing can be done there. The other destinations are not affected.
	Err error

	target content.Target
	found  *referrers.Found // nil if referrers were not looked for
}

// Bytes is an upper bound of the bytes to send.
func (p DestinationPlan) Bytes() int64 {
	var sum int64
	for _, d := range p.Blobs {
		sum += d.Size
	}
	return sum
}

// remembered reports whether the tag is known to be unchanged without a request to either side.
func (p DestinationPlan) remembered() bool { return p.Rule.Kind == RuleCopied }

// served reports whether the image is copied to the destination or was found there, so that its
// referrers belong there, too.
func (p DestinationPlan) served() bool {
	return p.pending() || p.Err == nil && p.Action == ActionUnchanged && !p.remembered()
}

// pending reports whether the image has to be copied to the destination.
func (p DestinationPlan) pending() bool {
	return p.Err == nil && (p.Action == ActionAdd || p.Action == ActionMove)
}
