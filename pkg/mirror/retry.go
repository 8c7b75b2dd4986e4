package mirror

import (
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
)

// Retry is what an earlier run has left undone; nil leaves nothing out, an empty one takes nothing.
type Retry []report.Failed

// retrying narrows a configuration to what an earlier run has left undone, and notes what
// of that the configuration still asks for. The nil value narrows nothing.
type retrying struct {
	failed   Retry
	bySource map[ticketName][]int
	// met are the destinations of each that were asked for.
	met []map[string]bool
}

// ticketName is an entry and the canonical name of a source.
type ticketName struct{ entry, source string }

func newRetrying(only Retry) *retrying {
	if only == nil {
		return nil
	}
	r := &retrying{failed: only, bySource: map[ticketName][]int{}, met: make([]map[string]bool, len(only))}
	for i, f := range only {
		name := ticketName{f.Entry, f.Source}
		r.bySource[name] = append(r.bySource[name], i)
		r.met[i] = map[string]bool{}
	}
	return r
}

// keep gives those feeds that are wanted, and those that have to be listed because they may
// write first to what a wanted one writes to. All have been enrolled.
func (r *retrying) keep(feeds []*feed, claims *claims) []*feed {
	if r == nil {
		return feeds
	}
	for _, f := range feeds {
		f.witness = !r.wants(f)
	}
	return slices.DeleteFunc(feeds, func(f *feed) bool {
		if f.witness && !r.precedes(f, claims) {
			f.state = stateSpent
			return true
		}
		return false
	})
}

// wants reports whether some images of a feed are wanted.
func (r *retrying) wants(f *feed) bool {
	for _, failed := range r.failed {
		if failed.Entry == f.entry.Name && concerns(failed.Source, f) {
			return true
		}
	}
	return false
}

// concerns reports whether the source of a failure is, or belongs to, that of a feed.
func concerns(source string, f *feed) bool {
	if source == named(f.source).String() || source == f.pattern {
		return true
	}
	ref := parsed(source)
	if ref.IsZero() || !f.source.IsRepository() {
		return false
	}
	if f.source.Glob != "" {
		return ref.Registry == f.source.Reference.Registry && glob.Match(f.source.Glob, ref.Repository)
	}
	return ref.WithoutIdentifier() == f.source.Reference
}

// parsed is an image or a repository; zero where it is neither, as a pattern.
func parsed(source string) reference.Reference {
	if repository, err := reference.ParseRepository(source); err == nil {
		return repository
	}
	if image, err := reference.Parse(source); err == nil {
		return image
	}
	return reference.Reference{}
}

// precedes reports whether f may write first to what a wanted feed writes to.
func (r *retrying) precedes(f *feed, claims *claims) bool {
	for _, s := range f.writes {
		for other := range claims.rivals(f, s) {
			if !other.witness && other.state != stateSpent && f.before(other) {
				return true
			}
		}
	}
	return false
}

// takes reports whether an image is wanted at a target, and notes that it is asked for.
func (r *retrying) takes(f *feed, image, target reference.Reference) bool {
	if r == nil {
		return true
	}
	taken := false
	for _, source := range []string{image.String(), image.Name(), f.pattern} {
		for _, i := range r.bySource[ticketName{f.entry.Name, source}] {
			taken = r.meet(i, target) || taken
		}
	}
	return taken
}

// meet notes that a target is asked for, and reports whether the failure names it.
func (r *retrying) meet(i int, target reference.Reference) bool {
	names := r.failed[i].Destinations
	if len(names) == 0 {
		r.met[i][""] = true
		return true
	}
	taken := false
	for _, name := range names {
		if name == target.String() || name == target.Name() || strings.Contains(name, "*") && glob.Match(name, target.Name()) {
			r.met[i][name] = true
			taken = true
		}
	}
	return taken
}

// again notes that a feed has failed once more: all of it is asked for.
func (r *retrying) again(f *feed) {
	if r == nil {
		return
	}
	for i, failed := range r.failed {
		if failed.Entry == f.entry.Name && concerns(failed.Source, f) {
			r.met[i][""] = true
			for _, name := range failed.Destinations {
				r.met[i][name] = true
			}
		}
	}
}

// missing warns of what failed in the report and is no longer in the configuration.
func (r *retrying) missing() []Warning {
	if r == nil {
		return nil
	}
	var warnings []Warning
	for i, failed := range r.failed {
		source := parsed(failed.Source)
		if len(failed.Destinations) == 0 && !r.met[i][""] {
			warnings = append(warnings, stated(failed.Entry, source, "it failed in the report, but is no longer in the configuration"))
		}
		for _, name := range failed.Destinations {
			if !r.met[i][name] {
				warnings = append(warnings, stated(failed.Entry, source,
					"copying it to "+name+" failed in the report, but the configuration no longer has that destination"))
			}
		}
	}
	return warnings
}
