package transfer

import (
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// remember records that an immutable tag is at a destination, with all that is copied along with it.
func remember(memory CopyMemory, plan *Plan, to reference.Reference) {
	if memory != nil && plan.Job.Immutable {
		memory.KeepCopied(copiedFrom(plan.Job), to.String(), plan.Image.Digest)
	}
}

// owed names the referrers of a job that is only to copy those of images that it copies: what failed once is
// searched for again.
func owed(job Job) string { return "referrers of " + copiedFrom(job) }

// rememberOwed records whether referrers of an image are still to be copied to a destination.
func rememberOwed(memory CopyMemory, plan *Plan, to reference.Reference, failed bool) {
	if memory == nil || !plan.Job.ReferrersOnCopy {
		return
	}
	if _, _, known := memory.Copied(owed(plan.Job), to.String()); failed {
		memory.KeepCopied(owed(plan.Job), to.String(), plan.Image.Digest)
	} else if known {
		memory.KeepCopied(owed(plan.Job), to.String(), "")
	}
}

// owes reports whether referrers of an image are still to be copied to a destination.
func owes(memory CopyMemory, plan *Plan, to reference.Reference) bool {
	if memory == nil {
		return false
	}
	image, _, known := memory.Copied(owed(plan.Job), to.String())
	return known && image != "" && image == plan.Image.Digest
}

// copiedFrom names what is copied for an immutable tag: the source's reference, and every setting that
// selects parts of the image. A different selection has a different name, so that the tag is checked again
// after the configuration has changed.
func copiedFrom(job Job) string {
	name := []string{job.Source.String()}
	if len(job.Platforms) > 0 {
		var platforms []string
		for _, p := range job.Platforms {
			platforms = append(platforms, content.FormatPlatform(p))
		}
		slices.Sort(platforms)
		name = append(name, "platforms="+strings.Join(slices.Compact(platforms), ","))
		if job.RequirePlatforms {
			name = append(name, "all")
		}
	}
	if job.Attestations == AttestationsDrop {
		name = append(name, "omitAttestations")
	}
	if job.Referrers {
		types := slices.Sorted(slices.Values(job.ReferrerTypes))
		name = append(name, "referrers="+strings.Join(slices.Compact(types), ","))
		if job.ReferrersRequired {
			name = append(name, "required")
		}
		if job.ReferrersOnCopy {
			name = append(name, "onCopy") // an image that was there already may lack them
		}
	}
	if job.ForeignLayers {
		name = append(name, "foreignLayers")
	}
	return strings.Join(name, " ")
}
