package ui

import (
	"fmt"
	"strings"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// warnedLine tells of a warning in one line.
func warnedLine(e transfer.Warned, p paint) string {
	line := p.yellow("warning") + ": "
	if e.Source != (reference.Reference{}) {
		line += Clean(e.Source.Familiar()) + ": "
	}
	return line + warningText(e.Warning)
}

// warningText puts a warning into words.
func warningText(w warning.Warning) string { return Message(warningWords(w)) }

func warningWords(w warning.Warning) string {
	switch w.Kind {
	case warning.Other:
		return errorText(w.Err)
	case warning.TagMoved:
		return fmt.Sprintf("the tag moved to %s while %s was copied", w.Now, w.Digest)
	case warning.TagMovedWhileRead:
		return fmt.Sprintf("the tag moved from %s to %s while it was read", w.Digest, w.Now)
	case warning.TagDeleted:
		return fmt.Sprintf("the tag was deleted at the source while %s was copied", w.Digest)
	case warning.SameImage:
		return "the destination is the source itself: nothing to do"
	case warning.SeenChanged:
		return w.Reference + " was changed or removed at the destination since an earlier run: this run checks all tags of its repository"
	case warning.SameDestination:
		return fmt.Sprintf("%s is the same destination as %s: copied once", w.Reference, w.First)
	case warning.PlatformsMissing:
		return fmt.Sprintf("the source has no %s, only %s", strings.Join(w.Missing, ", "), strings.Join(w.Offered, ", "))
	case warning.PlatformUnstated:
		return fmt.Sprintf("index entry %s has no platform: left out", w.Digest)
	case warning.ChildMissing:
		return fmt.Sprintf("index entry %s has no platform and is missing at the source: left out", w.Digest)
	case warning.AttestationMissing:
		return fmt.Sprintf("the attestation %s of %s is not at the source: left out", w.Digest, w.Of)
	case warning.UploadsLost:
		return w.Registry + " does not continue uploads whose connection broke: they start again from the beginning"
	default:
		return referrersWords(w)
	}
}

func referrersWords(w warning.Warning) string {
	switch w.Kind {
	case warning.TagKept:
		return fmt.Sprintf("the tag %s differs at the destination and is not overwritten: overwrite is never", w.Reference)
	case warning.TagKeptUndated:
		return fmt.Sprintf("the tag %s differs at the destination and is not overwritten: overwrite is newer, and signature tags have no creation time", w.Reference)
	case warning.IndexReferrers:
		return fmt.Sprintf("signatures or other referrers of the source's index %s are not copied: the destination does not get that index", w.Digest)
	case warning.ChildrenUnknown:
		return fmt.Sprintf("signatures and other referrers of the platforms of %s were not searched for: %s", w.Digest, errorText(w.Err))
	case warning.ChildrenNotRead:
		return fmt.Sprintf("signatures and other referrers of the platforms of unchanged images were not searched for: %s limits how many manifests may be read", w.Registry)
	case warning.TooDeep:
		return fmt.Sprintf("referrers nested more than %d levels below %s were not searched for", w.Count, w.Digest)
	case warning.InvalidReferrers:
		return "referrers of the source: " + errorText(w.Err)
	case warning.ReferrersFailed:
		return errorText(w.Err)
	case warning.ReferrersRefused:
		return fmt.Sprintf("%s does not accept some kinds of signatures or other referrers: %d left out (`sync --recheck` tries again; `referrers: false` skips them)", w.Registry, w.Count)
	default:
		return string(w.Kind)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
