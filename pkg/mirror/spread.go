package mirror

import (
	"regexp"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/reference"
)

// wild stands in a name for what is not known yet. It may be a part of a repository's name
// and of a tag.
const wild = "0wild0"

// spread is the repositories that a source may be written to by one destination: one name
// or, as long as a part of it is not known, all that match the pattern.
type spread struct {
	name    string
	pattern *regexp.Regexp // nil where the name is known
}

// spreads are where a source may be written to, one for each destination of its entry. It
// is the zero spread where the destination makes no name of the source.
func spreads(entry *config.Entry, source config.Source) []spread {
	all := make([]spread, len(entry.Destinations))
	for i, to := range entry.Destinations {
		target, err := to.Reference(sample(source).WithTag(wild))
		if err != nil {
			continue
		}
		all[i].name = target.Name()
		if strings.Contains(all[i].name, wild) {
			all[i].pattern = regexp.MustCompile(`\A` + strings.ReplaceAll(regexp.QuoteMeta(all[i].name), wild, ".*") + `\z`)
		}
	}
	return all
}

// sample is a reference that stands for a source: its own or, for a pattern of
// repositories, one whose open parts are wild.
func sample(source config.Source) reference.Reference {
	ref := source.Reference
	if source.Glob != "" {
		ref.Repository = glob.Replace(source.Glob, wild)
	}
	return ref
}

// unsample shows the open parts of a name that was made from a sample as `*`.
func unsample(ref reference.Reference) reference.Reference {
	ref.Repository = strings.ReplaceAll(ref.Repository, wild, "*")
	ref.Path = strings.ReplaceAll(ref.Path, wild, "*")
	return ref
}

// meets reports whether both may mean the same repository. Of two patterns that is not
// known, so they may.
func (s spread) meets(other spread) bool {
	switch {
	case s.name == "" || other.name == "":
		return false
	case s.pattern != nil && other.pattern != nil:
		return true
	case s.pattern != nil:
		return s.pattern.MatchString(other.name)
	case other.pattern != nil:
		return other.pattern.MatchString(s.name)
	default:
		return s.name == other.name
	}
}
