package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/regsync/regsync/pkg/mirror"
)

// maxReport bounds a report that is read, in bytes: 100,000 tags take about 50 MB.
const maxReport = 256 << 20

// Undone is what a run has left undone, as its report says.
type Undone struct {
	// Failed is what failed or was deferred; empty, not nil, where nothing was.
	Failed mirror.Retry
	// NotBegun is what that run has left out without naming it; nil where it was complete.
	NotBegun *ReportRest
}

// ReadUndone reads a report of ReportSchema or SyncSchema. The error of another document
// tells all that is wrong with it.
func ReadUndone(r io.Reader) (*Undone, error) {
	var report Report
	decoder := json.NewDecoder(io.LimitReader(r, maxReport))
	if err := decoder.Decode(&report); err != nil {
		return nil, fmt.Errorf("this is no report: %w", err)
	}
	if report.Schema != ReportSchema && report.Schema != SyncSchema {
		return nil, fmt.Errorf("its schema is %q; a report of sync has %s or %s", Clean(report.Schema), ReportSchema, SyncSchema)
	}
	var problems []error
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		problems = append(problems, errors.New("something follows the report"))
	}
	undone := &Undone{Failed: mirror.Retry{}, NotBegun: report.NotBegun}
	for i, item := range report.Items {
		failed, errs := item.undone()
		for _, err := range errs {
			problems = append(problems, fmt.Errorf("items[%d]%w", i, err))
		}
		if len(failed.Destinations) > 0 {
			undone.Failed = append(undone.Failed, failed)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return undone, nil
}

// undone are those destinations that are not right, and what is wrong with the item.
func (i *ReportItem) undone() (failed mirror.Failed, problems []error) {
	failed = mirror.Failed{Entry: i.Entry, Source: i.Source}
	for n, to := range i.Destinations {
		switch to.Status {
		case StatusFailed, StatusDeferred:
			failed.Destinations = append(failed.Destinations, to.Ref)
			if to.Ref == "" {
				problems = append(problems, fmt.Errorf(".destinations[%d] has no ref", n))
			}
		case StatusCopied, StatusUnchanged, StatusSkipped:
		default:
			problems = append(problems, fmt.Errorf(".destinations[%d] has the status %q, which is unknown", n, Clean(string(to.Status))))
		}
	}
	if i.Source == "" && len(failed.Destinations) > 0 {
		problems = append(problems, errors.New(" has no source"))
	}
	return failed, problems
}
