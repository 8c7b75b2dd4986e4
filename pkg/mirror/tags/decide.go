package tags

import (
	"context"
	"strings"
)

// decide decides about each candidate.
func (b Block) decide(ctx context.Context, candidates []candidate, asked *inquiry) ([]decision, error) {
	decisions := make([]decision, len(candidates))
	var left []int
	for i, c := range candidates {
		if decisions[i] = b.byName(c); decisions[i].at == taken {
			left = append(left, i)
		}
	}
	if b.Newest.Count > 0 {
		return decisions, b.takeNewest(ctx, candidates, decisions, left, asked)
	}
	return decisions, b.ask(ctx, candidates, decisions, left, asked)
}

// byName decides by what the name of a tag tells.
func (b Block) byName(c candidate) decision {
	include, included := firstMatch(b.Include, c.tag)
	if !included && len(b.Include) > 0 {
		return decision{atInclude, "not included by " + shown(b.Include)}
	}
	if exclude, found := firstMatch(b.Exclude, c.tag); found {
		return decision{atExclude, "excluded by `" + exclude.String() + "`"}
	}
	var reasons []string
	if included {
		reasons = append(reasons, "included by `"+include.String()+"`")
	}
	if r := b.semver(); r != nil {
		why, ok := b.byVersion(r, c)
		if !ok {
			return decision{atSemver, why}
		}
		reasons = append(reasons, why)
	}
	if len(reasons) == 0 {
		return decision{taken, "all tags are taken"}
	}
	return decision{taken, strings.Join(reasons, ", ")}
}

// byVersion decides by the version and its suffix, and says why.
func (b Block) byVersion(r *Range, c candidate) (why string, ok bool) {
	suffix := c.version.Suffix()
	switch {
	case !c.isVersion:
		return "no version, and semver is asked for", false
	case !r.spans(c.version):
		return "outside " + r.String(), false
	case !r.Match(c.version):
		return "pre-release, and the range names none", false
	case suffix == "":
		return "in " + r.String(), true
	case len(b.Variants) == 0:
		return "variant " + suffix + ", and none is asked for by variants", false
	case !b.wants(suffix):
		return "variant " + suffix + " is not among variants", false
	default:
		return "in " + r.String() + ", a variant that is asked for", true
	}
}

// semver is the range that versions have to be in, or nil. Variants alone ask for versions,
// whichever they are.
func (b Block) semver() *Range {
	if b.Semver == nil && len(b.Variants) > 0 {
		return &Range{text: "*", alternatives: []alternative{{interval: everything()}}}
	}
	return b.Semver
}

// firstMatch is the first pattern that matches a tag.
func firstMatch(patterns []Pattern, tag string) (Pattern, bool) {
	for _, p := range patterns {
		if p.Match(tag) {
			return p, true
		}
	}
	return Pattern{}, false
}

func matchAny(patterns []Pattern, tag string) bool {
	_, found := firstMatch(patterns, tag)
	return found
}
