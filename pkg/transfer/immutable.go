package transfer

import (
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// remember notes that an immutable tag has arrived, or was seen, with all that goes along.
func remember(memory CopyMemory, plan *Plan, to reference.Reference) {
	if memory != nil && plan.Job.Immutable {
		memory.KeepCopied(copiedFrom(plan.Job), to.String(), plan.Image.Digest)
	}
}

// copiedFrom names what an immutable tag brings: the source's reference with all that
// chooses what of it goes along. Another choice is another name, so that a changed
// configuration asks again.
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
