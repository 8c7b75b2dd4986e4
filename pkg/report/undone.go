package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxReport bounds a report that is read, in bytes: 100,000 tags take about 50 MB.
const maxReport = 256 << 20

// schemasV1 are those of the reports of earlier versions. What this package reads of them has the same names.
var schemasV1 = []string{"regsync.report/v1", "regsync.sync/v1"}

// Undone is what a run has left undone, as its report says.
type Undone struct {
	// Failed is what failed or was deferred; empty, not nil, if nothing was.
	Failed []Failed
	// NotStarted is what that run has left out without naming it; nil if it left out nothing.
	NotStarted *NotStarted
}

// Failed is an image that did not reach some of its destinations, by the canonical forms of the references.
type Failed struct {
	// Entry is the name of the entry that it belongs to.
	Entry string
	// Source is the image or, if its tags could not be listed, the repository or the pattern of repositories.
	Source string
	// Destinations are those that it did not reach; repositories if Source is one. None means all that the entry names.
	Destinations []string
}

// ReadUndone reads the report of a sync, of this version or of version 1. The error of another document names all that
// is wrong with it.
func ReadUndone(r io.Reader) (*Undone, error) {
	var report undoneReport
	decoder := json.NewDecoder(io.LimitReader(r, maxReport))
	if err := decoder.Decode(&report); err != nil {
		return nil, fmt.Errorf("not a report: %w", err)
	}
	isV1 := report.Schema == schemasV1[0] || report.Schema == schemasV1[1]
	if !isV1 && (report.Schema != Schema || report.Command != "sync") {
		return nil, fmt.Errorf("schema %q of command %q, want %s of command \"sync\"", report.Schema, report.Command, Schema)
	}
	var problems []error
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		problems = append(problems, errors.New("unexpected data after the report"))
	}
	undone := &Undone{Failed: []Failed{}, NotStarted: report.NotStarted}
	if isV1 {
		undone.NotStarted = report.NotBegun
	}
	for i, item := range report.Items {
		failed, errs := item.undone()
		for _, err := range errs {
			problems = append(problems, fmt.Errorf("items[%d]%w", i, err))
		}
		if failed != nil {
			undone.Failed = append(undone.Failed, *failed)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return undone, nil
}

// undoneReport is what is read of a [Report].
type undoneReport struct {
	Schema, Command string
	NotStarted      *NotStarted
	NotBegun        *NotStarted // of version 1
	Items           []undoneItem
}

// undoneItem is what is read of an [Item].
type undoneItem struct {
	Entry, Source string
	Destinations  []struct {
		Ref    string
		Status Status
	}
	Error *struct{}
}

// undone returns those destinations that are not up to date, nil if there are none, and what is wrong with the item.
func (i *undoneItem) undone() (failed *Failed, problems []error) {
	failed = &Failed{Entry: i.Entry, Source: i.Source}
	for n, to := range i.Destinations {
		switch to.Status {
		case StatusFailed, StatusDeferred:
			failed.Destinations = append(failed.Destinations, to.Ref)
			if to.Ref == "" {
				problems = append(problems, fmt.Errorf(".destinations[%d] has no ref", n))
			}
		case StatusCopied, StatusUnchanged, StatusSkipped, StatusKept:
		default:
			problems = append(problems, fmt.Errorf(".destinations[%d] has the unknown status %q", n, to.Status))
		}
	}
	if len(failed.Destinations) == 0 && i.Error == nil {
		return nil, problems
	}
	if i.Source == "" {
		problems = append(problems, errors.New(" has no source"))
	}
	return failed, problems
}
