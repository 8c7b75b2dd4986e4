package mirror

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/mirror/internal/list"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// Retry is what an earlier run did not finish; nil selects everything, an empty one nothing.
type Retry []report.Failed

// retrying limits a configuration to what an earlier run did not finish, and records which of it the configuration
// still has. The nil value does not limit anything.
type retrying struct {
	all []*undone
	// bySource has what is undone by the source that the report names, inRepository by the repository of that source.
	bySource, inRepository map[sourceOf][]*undone
}

// undone is an image, a repository or a pattern that did not reach a destination.
type undone struct {
	entry       string
	source      string
	ref         reference.Reference // of a pattern: the pattern in the place of the repository
	destination string              // empty means all
	met         bool                // the configuration still selects it
}

// sourceOf is an entry and the canonical name of a source or a repository.
type sourceOf struct{ entry, name string }

func newRetrying(only Retry) *retrying {
	if only == nil {
		return nil
	}
	r := &retrying{bySource: map[sourceOf][]*undone{}, inRepository: map[sourceOf][]*undone{}}
	for _, f := range only {
		ref, err := reference.ParseRepository(f.Source)
		if err != nil {
			if ref, err = reference.Parse(f.Source); err != nil {
				host, pattern, _ := strings.Cut(f.Source, "/")
				ref = reference.Reference{Transport: reference.Registry, Registry: host, Repository: pattern}
			}
		}
		at, in := sourceOf{f.Entry, f.Source}, sourceOf{f.Entry, ref.WithoutIdentifier().String()}
		destinations := f.Destinations
		if len(destinations) == 0 {
			destinations = []string{""}
		}
		for _, to := range destinations {
			u := &undone{f.Entry, f.Source, ref, to, false}
			r.all = append(r.all, u)
			r.bySource[at], r.inRepository[in] = append(r.bySource[at], u), append(r.inRepository[in], u)
		}
	}
	return r
}

// wants reports whether some images of a feed are wanted.
func (r *retrying) wants(f *list.Feed) bool { return len(r.of(f)) > 0 }

// of returns what was not finished of the source of a feed.
func (r *retrying) of(f *list.Feed) []*undone {
	source := sourceOf{f.Entry.Name, list.Name(f.Source).String()}
	found := slices.Concat(r.bySource[source], r.bySource[sourceOf{f.Entry.Name, list.Name(f.From).String()}])
	switch {
	case f.Source.Glob != "":
		for _, u := range r.all {
			if u.entry == f.Entry.Name && u.ref.Registry == f.Source.Reference.Registry && f.Source.Matches(u.ref.Repository) {
				found = append(found, u)
			}
		}
	case f.Source.IsRepository():
		found = append(found, r.inRepository[source]...)
	}
	return found
}

// takes reports whether an image is retried at a target, and records that the configuration has it.
func (r *retrying) takes(f *list.Feed, image, target reference.Reference) bool {
	if r == nil {
		return true
	}
	taken := false
	for _, source := range []string{image.String(), image.Name(), list.Name(f.From).String()} {
		for _, u := range r.bySource[sourceOf{f.Entry.Name, source}] {
			if to := u.destination; to == "" || to == target.String() || to == target.Name() ||
				strings.Contains(to, "*") && glob.Match(to, target.Name()) {
				u.met, taken = true, true
			}
		}
	}
	return taken
}

// again records that a feed has failed again, so that none of its images counts as missing.
func (r *retrying) again(f *list.Feed) {
	if r == nil {
		return
	}
	for _, u := range r.of(f) {
		u.met = true
	}
}

// missing warns about images that failed in the report and are no longer in the configuration.
func (r *retrying) missing() []Warning {
	if r == nil {
		return nil
	}
	var warnings []Warning
	for _, u := range r.all {
		err := errors.New("failed in the report, but is no longer in the configuration")
		if u.destination != "" {
			err = fmt.Errorf("the copy to %s failed in the report, but is no longer in the configuration", u.destination)
		}
		if !u.met {
			warnings = append(warnings, Warning{u.entry, u.ref, warning.Warning{Err: err}})
		}
	}
	return warnings
}
