package transfer

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// recall asks the memory which destinations have got an immutable tag before: they are
// unchanged, without a request. It reports whether that is so of all; then the source is
// not asked either. A destination that could not be opened has its error.
func (p *planner) recall() (all bool) {
	memory := p.engine.options.Copies
	if !p.plan.Job.Immutable || memory == nil || p.engine.options.Recheck {
		return false
	}
	from := copiedFrom(p.plan.Job)
	for i := range p.plan.Destinations {
		d := &p.plan.Destinations[i]
		if d.Err != nil {
			continue
		}
		if image, _, known := memory.Copied(from, d.Reference.String()); known {
			d.Action, d.Previous, d.Rule = ActionUnchanged, image, Rule{Kind: RuleCopied}
		}
	}
	return p.allRemembered()
}

// allRemembered completes a plan that nothing has to be asked for.
func (p *planner) allRemembered() bool {
	image := digest.Digest("")
	for _, d := range p.plan.Destinations {
		if !d.remembered() {
			return false
		}
		image = d.Previous
	}
	p.plan.Image = content.Descriptor{Digest: image}
	return image != ""
}

// remember notes that an immutable tag has arrived, or was seen, with all that goes along.
func (e *Engine) remember(plan *Plan, to reference.Reference) {
	if e.options.Copies != nil && plan.Job.Immutable {
		e.options.Copies.KeepCopied(copiedFrom(plan.Job), to.String(), plan.Image.Digest)
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
