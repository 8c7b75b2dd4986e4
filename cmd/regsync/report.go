package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/regsync/regsync/internal/ui"
)

// reportFiles are the files of --report. They are checked before a run, so that a path that
// cannot be written is told before anything is asked, and written at its end.
type reportFiles []reportFile

type reportFile struct {
	path   string
	format reportFormat
}

// reportFormat writes a report; all is asked for by --verbose.
type reportFormat func(r *ui.Report, w io.Writer, all bool) error

// reportFormatOf is the format that the ending of a path decides.
func reportFormatOf(path string) (format reportFormat, ok bool) {
	switch filepath.Ext(path) {
	case ".json":
		return func(r *ui.Report, w io.Writer, _ bool) error { return r.WriteJSON(w) }, true
	case ".xml":
		return func(r *ui.Report, w io.Writer, _ bool) error { return r.WriteJUnit(w) }, true
	case ".txt":
		return (*ui.Report).WriteText, true
	}
	return nil, false
}

// checkReports takes the paths of --report; the error, a [usageError], tells of each that
// cannot be written.
func checkReports(paths []string) (reportFiles, error) {
	var files reportFiles
	var errs []error
	for i, path := range paths {
		file, err := checkReport(path)
		if err == nil && slices.Contains(paths[:i], path) {
			err = errors.New("is given twice")
		}
		if err != nil {
			errs = append(errs, &usageError{fmt.Errorf("--report %s: %w", path, err)})
			continue
		}
		files = append(files, file)
	}
	return files, errors.Join(errs...)
}

func checkReport(path string) (reportFile, error) {
	format, ok := reportFormatOf(path)
	if !ok {
		return reportFile{}, errors.New("the ending decides: .json, .xml (JUnit) or .txt")
	}
	// A link stays one, and what it points at is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return reportFile{}, errors.New("it is there, and is no regular file")
	}
	if err := tryReplacing(path); err != nil {
		return reportFile{}, fmt.Errorf("cannot be written: %w", unwrapPath(err))
	}
	return reportFile{path, format}, nil
}

// unwrapPath is err without its paths: one is the temporary name.
func unwrapPath(err error) error {
	if inPath, ok := errors.AsType[*os.PathError](err); ok {
		return inPath.Err
	}
	if inRename, ok := errors.AsType[*os.LinkError](err); ok {
		return inRename.Err
	}
	return err
}

// whole reports whether a file wants to tell of what is unchanged, too.
func (f reportFiles) whole() bool {
	return slices.ContainsFunc(f, func(file reportFile) bool { return filepath.Ext(file.path) != ".txt" })
}

// write writes the report to all files. One that cannot be written keeps what it had.
func (f reportFiles) write(r *ui.Report, all bool) error {
	var errs []error
	for _, file := range f {
		err := replaceFile(file.path, func(w io.Writer) error { return file.format(r, w, all) })
		if err != nil {
			errs = append(errs, &unwrittenReport{fmt.Errorf("write report %s: %w", file.path, unwrapPath(err))})
		}
	}
	return errors.Join(errs...)
}

// unwrittenReport is a report that could not be written, after a run that did its work.
type unwrittenReport struct{ error }

// Unwrap returns the cause.
func (e *unwrittenReport) Unwrap() error { return e.error }
