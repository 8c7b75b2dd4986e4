package report

import (
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// ExplanationSchema names the format of an explanation as JSON. Within a version, fields are added, never changed or
// removed.
const ExplanationSchema = "regsync.explain/v2"

// Explanation is why an image, or the images of a repository, are copied or not.
type Explanation struct {
	Schema string `json:"schema"`
	// Ref is the subject of the explanation: an image or a repository, at a source or at a destination.
	Ref reference.Reference `json:"ref"`
	// Findings are in the order of the configuration. None means that it does not name the image.
	Findings []Finding `json:"findings"`
	// Near are similar sources, if there is no finding.
	Near []Near `json:"near,omitempty"`
	// Whole: all tags of a repository are explained, and neither side was checked.
	Whole bool `json:"whole,omitempty"`
}

// Finding is what one source of an entry has to do with an image.
type Finding struct {
	Entry string `json:"entry"`
	// At is where the source stands in the configuration: FILE:LINE:COLUMN.
	At string `json:"at"`
	// From is what the entry names: the image, its repository, or a pattern of repositories.
	From reference.Reference `json:"from"`
	// Image is the image at the source or, if that is not known, the repository.
	Image reference.Reference `json:"image"`
	// Selected: the entry takes the image. Rule says why, or why not.
	Selected bool   `json:"selected"`
	Rule     string `json:"rule,omitempty"`
	// Error is why the state is unknown.
	Error *Problem `json:"error,omitempty"`
	// Source is what the source has.
	Source Holding `json:"source"`
	// Copies are the destinations: all, or the one that was explained.
	Copies   []CopyFinding `json:"destinations"`
	Warnings []Warning     `json:"warnings,omitempty"`

	// Err is the error behind Error.
	Err error `json:"-"`
}

// CopyFinding is what one destination has, and what a run would do there.
type CopyFinding struct {
	Reference reference.Reference `json:"ref"`
	Holding
	// Image is what would be copied: the source's image, or the selection of platforms from it.
	Image digest.Digest `json:"image,omitempty"`
	// Action is empty if it is not known: the entry does not take the image, or one of the sides cannot be checked.
	Action transfer.Action `json:"action,omitempty"`
	// Rule is why it is skipped, or why a run would check neither side.
	Rule *Rule `json:"rule,omitempty"`
	// First is the image that is written there instead.
	First *Writer `json:"first,omitempty"`
	// Undecided is a source that could not be listed and may be written there instead.
	Undecided *Writer `json:"undecided,omitempty"`
}

// Writer is a source of an entry that is, or may be, written to a tag.
type Writer struct {
	Source reference.Reference `json:"source"`
	Entry  string              `json:"entry"`
}

// Holding is what a place has under a tag: nothing, if it is empty.
type Holding struct {
	Digest digest.Digest `json:"digest,omitempty"`
	// Error is why the state is unknown.
	Error *Problem `json:"error,omitempty"`

	// Err is the error behind Error.
	Err error `json:"-"`
}

// Near is a source that is similar to an image which the configuration does not name.
type Near struct {
	Entry string              `json:"entry"`
	At    string              `json:"at"`
	From  reference.Reference `json:"from"`
	// Kind is how it differs.
	Kind NearKind `json:"kind"`
}

// NearKind is how a source differs from the subject.
type NearKind string

// The kinds, closest first.
const (
	NearTag      NearKind = "tag"      // the entry names another tag of the repository
	NearRegistry NearKind = "registry" // the same repository of another registry
	NearBase     NearKind = "base"     // a repository whose last component is the same
)

// Describe sets each Error from the Err behind it. It returns the errors of each finding.
func (e *Explanation) Describe(hints Hints) [][]error {
	all := make([][]error, len(e.Findings))
	for i := range e.Findings {
		f := &e.Findings[i]
		describe := func(err error) *Problem {
			if err != nil {
				all[i] = append(all[i], err)
			}
			return NewProblem(err, hints)
		}
		if f.Error = describe(f.Err); f.Error != nil {
			continue
		}
		f.Source.Error = describe(f.Source.Err)
		for n := range f.Copies {
			f.Copies[n].Error = describe(f.Copies[n].Err)
		}
	}
	return all
}
