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
	if job.OmitAttestations {
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
