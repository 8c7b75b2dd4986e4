// Package warning defines the engine's warnings as data; the user interface formats them.
package warning

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// Kind is the kind of a warning.
type Kind string

// The kinds of warnings, each with the fields that it uses.
const (
	// Other is a warning whose text is Err.
	Other Kind = ""

	TagMoved          Kind = "tagMoved"          // while it was copied, the source's tag moved from Digest to Now
	TagMovedWhileRead Kind = "tagMovedWhileRead" // the same while it was read; Now is copied
	TagDeleted        Kind = "tagDeleted"        // while it was copied, the source's tag, which pointed at Digest, was deleted
	GoneAtSource      Kind = "goneAtSource"      // the source no longer has the image; destinations that have it keep it
	SameImage         Kind = "sameImage"         // the destination is the source itself
	SeenChanged       Kind = "seenChanged"       // the destination's tag Reference was changed or removed after an earlier run
	SameDestination   Kind = "sameDestination"   // the destinations Reference and First are the same; the image is copied there once

	PlatformsMissing    Kind = "platformsMissing"    // the source lacks the requested platforms Missing; it has Offered
	PlatformUnstated    Kind = "platformUnstated"    // the child Digest of an index states no platform and is left out
	ChildMissing        Kind = "childMissing"        // the same, and the source does not have the child
	AttestationsRefused Kind = "attestationsRefused" // Registry does not accept attestations; Count images were copied without them
	AttestationMissing  Kind = "attestationMissing"  // the source does not have the attestation Digest of the child Of; it is left out

	TagKept          Kind = "tagKept"          // the signature tag Reference differs at the destination and is never overwritten
	TagKeptUndated   Kind = "tagKeptUndated"   // the same, because overwrite is newer and signature tags have no creation time
	IndexReferrers   Kind = "indexReferrers"   // referrers of the source's index Digest are not copied: the destination gets another one
	ChildrenUnknown  Kind = "childrenUnknown"  // referrers of the platforms of Digest were not searched for, because of Err
	ChildrenNotRead  Kind = "childrenNotRead"  // the same for unchanged images, because Registry limits manifest reads
	TooDeep          Kind = "tooDeep"          // referrers more than Count levels below Digest were not searched for
	InvalidReferrers Kind = "invalidReferrers" // entries of the source's list of referrers were ignored; Err says how many, and names them
	ReferrersFailed  Kind = "referrersFailed"  // some referrers could not be found or read; Err says which, and why
	UploadsLost      Kind = "uploadsLost"      // Registry does not continue uploads whose connection broke; they start again
	ReferrersRefused Kind = "referrersRefused" // Registry does not accept referrers of some kinds; Count were left out
)

// Warning is something that the user should know, and that stops nothing.
type Warning struct {
	Kind Kind
	// Digest, Of and Now are digests of manifests.
	Digest, Of, Now digest.Digest `json:",omitempty"`
	// Missing and Offered are platforms.
	Missing, Offered []string `json:",omitempty"`
	Registry         string   `json:",omitempty"`
	// Reference and First are references as users write them.
	Reference, First string `json:",omitempty"`
	Count            int    `json:",omitempty"`
	Err              error  `json:"-"`
}

// Equal reports whether two warnings say the same.
func (w Warning) Equal(v Warning) bool {
	return w.Kind == v.Kind && w.Digest == v.Digest && w.Of == v.Of && w.Now == v.Now &&
		slices.Equal(w.Missing, v.Missing) && slices.Equal(w.Offered, v.Offered) &&
		w.Registry == v.Registry && w.Reference == v.Reference && w.First == v.First &&
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
