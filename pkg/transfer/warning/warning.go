// Package warning has the warnings of the engine as data. The user interface puts them into words.
package warning

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// Kind is what a warning says.
type Kind string

// The kinds of warnings, each with the fields that it uses.
const (
	// Stated is what Err says.
	Stated Kind = ""

	TagMoved        Kind = "tagMoved"        // while it was copied, the source's tag moved from Digest to Now
	TagMovedEarlier Kind = "tagMovedEarlier" // the same while it was read; Now is copied
	TagDeleted      Kind = "tagDeleted"      // while it was copied, the source's tag of Digest was deleted
	SameImage       Kind = "sameImage"       // the destination is the source itself
	SameDestination Kind = "sameDestination" // the destinations Reference and Other are the same; it is copied to once

	PlatformsMissing   Kind = "platformsMissing"   // the source lacks the requested platforms Missing; it has Offered
	PlatformUnstated   Kind = "platformUnstated"   // the child Digest of an index states no platform and is left out
	ChildMissing       Kind = "childMissing"       // the same, and the source does not have the child
	AttestationMissing Kind = "attestationMissing" // the source does not have the attestation Digest of the child Of; it is left out

	TagKept          Kind = "tagKept"          // the signature tag Reference differs at the destination and is never overwritten
	TagKeptUndated   Kind = "tagKeptUndated"   // the same, as only older tags are overwritten and signature tags state no time
	IndexReferrers   Kind = "indexReferrers"   // referrers of the source's index Digest do not fit a selection of its platforms
	ChildrenUnknown  Kind = "childrenUnknown"  // referrers of the platforms of Digest were not looked for, because of Err
	ChildrenCounted  Kind = "childrenCounted"  // the same for unchanged images, because Registry counts what is read
	TooDeep          Kind = "tooDeep"          // referrers more than Count levels below Digest were not looked for
	InvalidNames     Kind = "invalidNames"     // entries of the source's list of referrers were ignored; Err counts them
	ReferrersFailed  Kind = "referrersFailed"  // the plan lacks referrers; Err says which
	ReferrersRefused Kind = "referrersRefused" // Registry does not accept referrers of some kinds; Count were left out
)

// Warning is something that the user should know, and that stops nothing.
type Warning struct {
	Kind Kind
	// Digest, Of and Now are manifests.
	Digest, Of, Now digest.Digest `json:",omitempty"`
	// Missing and Offered are platforms.
	Missing, Offered []string `json:",omitempty"`
	Registry         string   `json:",omitempty"`
	// Reference and Other are references as users write them.
	Reference, Other string `json:",omitempty"`
	Count            int    `json:",omitempty"`
	Err              error  `json:"-"`
}

// Equal reports whether two warnings say the same.
func (w Warning) Equal(v Warning) bool {
	return w.Kind == v.Kind && w.Digest == v.Digest && w.Of == v.Of && w.Now == v.Now &&
		slices.Equal(w.Missing, v.Missing) && slices.Equal(w.Offered, v.Offered) &&
		w.Registry == v.Registry && w.Reference == v.Reference && w.Other == v.Other &&
		w.Count == v.Count && text(w.Err) == text(v.Err)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Add appends the warnings that a list does not have yet.
func Add(list []Warning, more ...Warning) []Warning {
	for _, w := range more {
		if !slices.ContainsFunc(list, w.Equal) {
			list = append(list, w)
		}
	}
	return list
}
