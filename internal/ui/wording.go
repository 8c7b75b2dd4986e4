package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// arrow stands between a source and its destination. It is ASCII, because logs are read
// with any locale.
const arrow = " -> "

// Between names a copy: "nginx:1 -> harbor.corp/nginx:1"; safe to print.
func Between(source, destination reference.Reference) string {
	if destination == (reference.Reference{}) {
		return Clean(source.Familiar())
	}
	return Clean(source.Familiar()) + arrow + Clean(destination.Familiar())
}

// Status is how a destination ended.
type Status string

// The statuses of a destination.
const (
	StatusCopied    Status = "copied"
	StatusUnchanged Status = "unchanged" // it was right already
	StatusSkipped   Status = "skipped"   // the policy left it alone
	StatusDeferred  Status = "deferred"  // left to the next run
	StatusFailed    Status = "failed"
)

// statusOf is how a destination ended. What was interrupted did not fail.
func statusOf(r transfer.DestinationResult) Status {
	switch {
	case errors.Is(r.Err, transfer.ErrDeferred) || errors.Is(r.Err, context.Canceled):
		return StatusDeferred
	case r.Err != nil:
		return StatusFailed
	case r.Action == transfer.ActionUnchanged:
		return StatusUnchanged
	case r.Action == transfer.ActionSkip || r.Action == transfer.ActionNone:
		return StatusSkipped
	default:
		return StatusCopied
	}
}

// eventful reports whether a destination is worth a line while the run goes on. What a rule
// leaves as it is may be hundreds of tags every night: the report groups them.
func eventful(r transfer.DestinationResult) bool {
	status := statusOf(r)
	return status != StatusUnchanged && status != StatusSkipped || r.Referrers > 0
}

// reasonOf says why a destination was skipped or deferred, or is unchanged although nobody
// was asked; empty where it was none of these.
func reasonOf(r transfer.DestinationResult) string {
	switch statusOf(r) {
	case StatusCopied, StatusFailed:
		return ""
	case StatusDeferred:
		if errors.Is(r.Err, transfer.ErrDeferred) {
			return Message(r.Err.Error())
		}
		return "interrupted"
	default:
		return ruleText(r.Rule)
	}
}

// verb is the first word of the line that tells of a destination.
func verb(status Status, action transfer.Action, referrers int) string {
	switch {
	case status == StatusCopied && action == transfer.ActionMove:
		return "moved"
	case status == StatusCopied:
		return "added"
	case status == StatusUnchanged && referrers > 0:
		return "completed"
	default:
		return string(status)
	}
}

// notAsked says how many of the unchanged tags were not checked: immutable ones at neither side, trusted ones not at the
// destination: " (4 of them immutable, not asked; 90 trusted, not checked at the destination)".
func notAsked(immutable, trusted, unchanged int) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{immutable, "immutable, not asked"}, {trusted, "trusted, not checked at the destination"}} {
		switch {
		case part.n == 0:
		case part.n == unchanged:
			parts = append(parts, part.what)
		case len(parts) == 0:
			parts = append(parts, fmt.Sprintf("%d of them %s", part.n, part.what))
		default:
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// outcome tells of a destination in one line, with its first word painted.
func outcome(job transfer.Job, r transfer.DestinationResult, p paint) string {
	var b strings.Builder
	word := verb(statusOf(r), r.Action, r.Referrers)
	switch word {
	case "added", "moved", "completed":
		b.WriteString(p.green(word))
	case string(StatusFailed):
		b.WriteString(p.red(word))
	default:
		b.WriteString(word)
	}
	b.WriteString(" " + Between(job.Source, r.Reference))
	switch {
	case word == string(StatusDeferred) || word == string(StatusSkipped):
		b.WriteString(because(reasonOf(r)))
	case r.Err != nil:
		b.WriteString(": " + Message(r.Err.Error()))
	case word == "moved":
		b.WriteString(" " + shortDigest(r.Previous) + arrow + shortDigest(r.Digest))
	default:
		b.WriteString(" " + shortDigest(r.Digest))
	}
	if r.Err == nil && r.Referrers > 0 {
		b.WriteString(" with " + Referrers(r.Referrers))
	}
	if reason := reasonOf(r); word == string(StatusUnchanged) && reason != "" {
		b.WriteString(" (" + reason + ")")
	}
	return b.String()
}

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
		return "Mounted from " + Clean(e.From)
	case transfer.BlobOmitted:
		return "Skipped foreign layer"
	case transfer.BlobFailed:
		return "Failed"
	default:
		return w.exists
	}
}

// opening is what docker push and docker pull begin with.
func (s Style) opening(p *transfer.Plan) []string {
	if s == Pulling {
		source := p.Job.Source
		return []string{Clean(fmt.Sprintf("%s: Pulling from %s", source.Identifier(), source.Repository))}
	}
	var lines []string
	for _, to := range p.Destinations {
		lines = append(lines, "The push refers to repository ["+Clean(to.Reference.Name())+"]")
	}
	return lines
}

// once keeps lines from being shown twice: an image may be planned several times, for each
// of its destinations and when one is tried again.
type once map[string]bool

// first gives the lines that are new.
func (o once) first(lines []string) []string {
	var fresh []string
	for _, line := range lines {
		if !o[line] {
			o[line] = true
			fresh = append(fresh, line)
		}
	}
	return fresh
}

// isLayer tells what Docker shows a line for: not the configuration.
func isLayer(d content.Descriptor) bool {
	return !content.IsImageConfig(d.MediaType) && d.MediaType != v1.MediaTypeEmptyJSON
}

// retrying counts down to the next attempt.
func retrying(wait time.Duration) string {
	if wait <= 0 {
		return "Retrying now"
	}
	return "Retrying in " + counted(int(max(wait+time.Second-1, 0)/time.Second), "second")
}

// paint colours words on a terminal that wants colours.
type paint bool

func (p paint) red(s string) string    { return p.colour("31", s) }
func (p paint) green(s string) string  { return p.colour("32", s) }
func (p paint) yellow(s string) string { return p.colour("33", s) }

func (p paint) colour(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
