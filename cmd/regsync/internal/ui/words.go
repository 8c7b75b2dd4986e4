package ui

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// ruleText returns the text of a rule, with what it was applied to if that is known; empty for no rule.
func ruleText(r *report.Rule) string {
	if r == nil {
		return ""
	}
	switch r.Kind {
	case transfer.RuleImmutable:
		return "the tag is immutable and points to another image"
	case transfer.RuleCopied:
		return "not checked: immutable, copied in an earlier run"
	case transfer.RuleSeen:
		return "not checked at the destination: found there in an earlier run (verify: sampled)"
	case transfer.RuleNever:
		return "the tag already exists (overwrite: never)"
	case transfer.RuleNewer:
		return "the destination image is newer (" + dates(r) + "overwrite: newer)"
	case transfer.RuleSameAge:
		return "both images were created at the same time (" + dates(r) + "overwrite: newer)"
	case transfer.RuleSourceUndated:
		return "the source image has no creation time (overwrite: newer)"
	case transfer.RuleDestinationUndated:
		return "the destination image has no creation time (overwrite: newer)"
	case transfer.RuleMaxSize:
		return sizeText(r.Limit, r.Found)
	default:
		return safe.Clean(string(r.Kind))
	}
}

// dates returns when the images that a rule compared were created, and a semicolon; empty if that is not known.
func dates(r *report.Rule) string {
	if r.Found == nil {
		return ""
	}
	if r.Found.SourceCreated == nil || r.Found.DestinationCreated == nil {
		return ""
	}
	layout := time.DateOnly
	source, destination := r.Found.SourceCreated.UTC(), r.Found.DestinationCreated.UTC()
	if r.Kind == transfer.RuleSameAge {
		return source.Format(layout) + "; "
	}
	if source.Format(layout) == destination.Format(layout) {
		layout = time.RFC3339
	}
	return fmt.Sprintf("created %s, the source image %s; ", destination.Format(layout), source.Format(layout))
}

// sizeText writes sizes in bytes if they would otherwise look equal.
func sizeText(limit int64, f *report.Found) string {
	if f == nil {
		return "is more than maxSize " + HumanSize(limit)
	}
	most, have := HumanSize(limit), HumanSize(f.Size)
	if have == most {
		return fmt.Sprintf("%dB is more than maxSize %dB", f.Size, limit)
	}
	return fmt.Sprintf("%s is more than maxSize %s", have, most)
}

// WarningText puts a warning into words.
func WarningText(w warning.Warning) string { return safe.Message(warningWords(w)) }

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
		return "source and destination are the same image: skipped"
	case warning.SeenChanged:
		return w.Reference + " was changed or removed at the destination since an earlier run: this run checks all tags of its repository"
	case warning.SameDestination:
		return fmt.Sprintf("destination %s is listed twice; it is written once", w.Reference)
	case warning.PlatformsMissing:
		return fmt.Sprintf("%s not available (only %s)", strings.Join(w.Missing, ", "), strings.Join(w.Offered, ", "))
	case warning.PlatformUnstated:
		return fmt.Sprintf("index entry %s has no platform: left out", w.Digest)
	case warning.ChildMissing:
		return fmt.Sprintf("index entry %s has no platform and is missing at the source: left out", w.Digest)
	case warning.AttestationMissing:
		return fmt.Sprintf("the attestation %s of %s is not at the source: left out", w.Digest, w.Of)
	case warning.AttestationsRefused:
		return fmt.Sprintf("%s does not accept attestations; %s copied without them (their index has another digest)",
			w.Registry, counted(w.Count, "image"))
	case warning.GoneAtSource:
		return "no longer exists at the source; kept at the destination"
	case warning.UploadsLost:
		return w.Registry + " discards interrupted uploads; they are sent again from the beginning"
	default:
		return referrersWords(w)
	}
}

func referrersWords(w warning.Warning) string {
	switch w.Kind {
	case warning.TagKept:
		return fmt.Sprintf("the tag %s differs at the destination and is not overwritten (overwrite: never)", w.Reference)
	case warning.TagKeptUndated:
		return fmt.Sprintf("the tag %s differs at the destination and is not overwritten: "+
			"signature tags have no creation time (overwrite: newer)", w.Reference)
	case warning.IndexReferrers:
		return fmt.Sprintf("signatures or other referrers of the source's index %s are not copied: "+
			"the destination does not get that index", w.Digest)
	case warning.ChildrenUnknown:
		return fmt.Sprintf("signatures and other referrers of the platforms of %s were not searched for: %s", w.Digest, errorText(w.Err))
	case warning.ChildrenNotRead:
		return fmt.Sprintf("signatures and other referrers of the platforms of unchanged images were not searched for: "+
			"%s limits how many manifests may be read", w.Registry)
	case warning.TooDeep:
		return fmt.Sprintf("referrers nested more than %d levels below %s were not searched for", w.Count, w.Digest)
	case warning.InvalidReferrers:
		return "referrers of the source: " + errorText(w.Err)
	case warning.ReferrersFailed:
		return errorText(w.Err)
	case warning.ReferrersRefused:
		return fmt.Sprintf("%s does not accept some kinds of signatures or other referrers: %d left out "+
			"(`sync --recheck` tries again; `referrers: false` skips them)", w.Registry, w.Count)
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

// arrow stands between a source and its destination. It is ASCII, because the locale of a log's reader is not known.
const arrow = " -> "

// Between names a copy: "nginx:1 -> harbor.corp/nginx:1"; safe to print.
func Between(source, destination reference.Reference) string {
	if destination == (reference.Reference{}) {
		return safe.Clean(source.Familiar())
	}
	return safe.Clean(source.Familiar()) + arrow + safe.Clean(destination.Familiar())
}

// eventful reports whether a destination has a line of its own while the run goes on. Tags that a rule skips do not:
// there may be hundreds of them every night, and the report groups them.
func eventful(r transfer.DestinationResult) bool {
	status := report.StatusOf(r)
	return status != report.StatusUnchanged && status != report.StatusSkipped || r.Referrers > 0
}

// reasonOf returns why a destination was skipped or deferred, or counted as unchanged without a check; otherwise it is empty.
func reasonOf(r transfer.DestinationResult) string {
	switch report.StatusOf(r) {
	case report.StatusCopied, report.StatusKept, report.StatusFailed:
		return ""
	case report.StatusDeferred:
		if errors.Is(r.Err, transfer.ErrDeferred) {
			return safe.Message(r.Err.Error())
		}
		return "interrupted"
	default:
		return ruleText(report.RuleOf(r.Rule))
	}
}

// outcome returns the line for a destination that did not fail, with its first word painted.
func outcome(job transfer.Job, r transfer.DestinationResult, p paint) string {
	status := report.StatusOf(r)
	word := verb(status, r.Action)
	painted := word
	if status == report.StatusCopied || r.Referrers > 0 {
		painted = p.green(word)
	}
	line := painted + " " + Between(job.Source, r.Reference)
	switch {
	case status == report.StatusSkipped:
	case word == "moved":
		line += " " + shortDigest(r.Previous) + arrow + shortDigest(r.Digest)
	default:
		line += " " + shortDigest(r.Digest)
	}
	line += withReferrers(status, r.Referrers)
	if status == report.StatusUnchanged || status == report.StatusSkipped {
		line += because(ruleText(report.RuleOf(r.Rule)))
	}
	return line
}

// canceled is the outcome of a blob that the end of the run has kept from arriving.
const canceled = "Canceled"

// layerWords are Docker's words for what happens to a layer.
type layerWords struct{ waiting, moving, done, exists string }

func (s Style) words() layerWords {
	if s == Pulling {
		return layerWords{waiting: "Waiting", moving: "Downloading", done: "Pull complete", exists: "Already exists"}
	}
	return layerWords{waiting: "Preparing", moving: "Pushing", done: "Pushed", exists: "Layer already exists"}
}

// outcome is Docker's word for how a layer ended.
func (w layerWords) outcome(e transfer.BlobDone) string {
	switch e.Outcome {
	case transfer.BlobSent:
		return w.done
	case transfer.BlobMounted:
		return "Mounted from " + safe.Clean(e.From)
	case transfer.BlobOmitted:
		return "Skipped foreign layer"
	case transfer.BlobFailed:
		if report.IsDeferred(e.Err) {
			return canceled
		}
		return "Failed"
	default:
		return w.exists
	}
}

// opening returns the lines that docker push and docker pull begin with, except those in written, to which it adds them:
// an image may be planned several times, for each of its destinations and when one is tried again.
func (s Style) opening(p *transfer.Plan, written map[string]bool) []string {
	var lines []string
	if s == Pulling {
		source := p.Job.Source
		lines = append(lines, safe.Clean(fmt.Sprintf("%s: Pulling from %s", source.Identifier(), source.Repository)))
	} else {
		for _, to := range p.Destinations {
			lines = append(lines, "The push refers to repository ["+safe.Clean(to.Reference.Name())+"]")
		}
	}
	return slices.DeleteFunc(lines, func(line string) bool {
		known := written[line]
		written[line] = true
		return known
	})
}

// isLayer reports whether Docker shows a line for a blob. It does not for an image's config.
func isLayer(d content.Descriptor) bool {
	return !content.IsImageConfig(d.MediaType) && d.MediaType != v1.MediaTypeEmptyJSON
}

// text says when the next attempt begins, and why: "retrying in 4 s: connection refused".
func (r retry) text(now time.Time) string {
	return fmt.Sprintf("retrying in %d s", int(math.Ceil(max(0, r.at.Sub(now).Seconds())))) + because(r.cause)
}

// paint colours words on a terminal that wants colours.
type paint bool

func (p paint) green(s string) string  { return p.colour("32", s) }
func (p paint) yellow(s string) string { return p.colour("33", s) }

func (p paint) colour(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
