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
func warningText(w warning.Warning) string { return Clean(warningWords(w)) }

func warningWords(w warning.Warning) string {
	switch w.Kind {
	case warning.Stated:
		return errorText(w.Err)
	case warning.TagMoved:
		return fmt.Sprintf("the tag moved to %s while %s was copied", w.Now, w.Digest)
	case warning.TagMovedEarlier:
		return fmt.Sprintf("the tag moved from %s to %s while it was read", w.Digest, w.Now)
	case warning.TagDeleted:
		return fmt.Sprintf("the tag was deleted at the source while %s was copied", w.Digest)
	case warning.SameImage:
		return "the destination is the source itself: nothing to do"
	case warning.SameDestination:
		return fmt.Sprintf("%s is the same destination as %s: copied once", w.Reference, w.Other)
	case warning.PlatformsMissing:
		return fmt.Sprintf("no %s; there is %s", strings.Join(w.Missing, ", "), strings.Join(w.Offered, ", "))
	case warning.PlatformUnstated:
		return fmt.Sprintf("%s in the index states no platform: left out", w.Digest)
	case warning.ChildMissing:
		return fmt.Sprintf("%s in the index states no platform and is not at the source: left out", w.Digest)
	case warning.AttestationMissing:
		return fmt.Sprintf("the attestation %s of %s is not at the source: left out", w.Digest, w.Of)
	default:
		return referrersWords(w)
	}
}

func referrersWords(w warning.Warning) string {
	switch w.Kind {
	case warning.TagKept:
		return fmt.Sprintf("the destination keeps its %s: overwrite is never", w.Reference)
	case warning.TagKeptUndated:
		return fmt.Sprintf("the destination keeps its %s: overwrite is newer, and signature tags state no time of creation", w.Reference)
	case warning.IndexReferrers:
		return fmt.Sprintf("signatures or other referrers of the source's index %s do not fit a selection of its platforms: not copied", w.Digest)
	case warning.ChildrenUnknown:
		return fmt.Sprintf("signatures and referrers of the platforms of %s were not looked for: %s", w.Digest, errorText(w.Err))
	case warning.ChildrenCounted:
		return fmt.Sprintf("signatures and referrers of the platforms of unchanged images were not looked for: %s counts what is read", w.Registry)
	case warning.TooDeep:
		return fmt.Sprintf("what is attached more than %d levels below %s was not looked for", w.Count, w.Digest)
	case warning.InvalidNames:
		return "referrers of the source: " + errorText(w.Err)
	case warning.ReferrersFailed:
		return errorText(w.Err)
	case warning.ReferrersRefused:
		return fmt.Sprintf("%s does not accept signatures or other referrers of some kinds: %d left out (--recheck tries again, referrers: false stops looking for them)", w.Registry, w.Count)
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
