package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/report"
)

// reportFiles are the files of --report. They are checked before a run, so that a path that
// cannot be written is told before anything is asked, and written at its end.
type reportFiles []reportFile

type reportFile struct {
	path   string
	format reportFormat
}

// reportFormat writes a report; all is asked for by --verbose.
type reportFormat func(w io.Writer, r *report.Report, all bool) error

// reportFormatOf is the format that the ending of a path decides.
func reportFormatOf(path string) (format reportFormat, ok bool) {
	switch filepath.Ext(path) {
	case ".json":
		return func(w io.Writer, r *report.Report, _ bool) error { return ui.WriteJSON(w, r) }, true
	case ".xml":
		return func(w io.Writer, r *report.Report, _ bool) error { return ui.WriteJUnit(w, r) }, true
	case ".txt":
		return func(w io.Writer, r *report.Report, all bool) error { return ui.WriteReport(w, r, all, listedByVerbose) }, true
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

// Where all tags of a cause are listed, as [ui.Failures] says it.
const (
	listedInReport  = "all in the report"
	listedByVerbose = "all with --verbose"
)

// listed says where all tags of a cause are listed: in a file that has each of them, if there is one.
func (f reportFiles) listed() string {
	if f.whole() {
		return listedInReport
	}
	return "all with --report FILE.json"
}

// whole reports whether a file wants to tell of what is unchanged, too.
func (f reportFiles) whole() bool {
	return slices.ContainsFunc(f, func(file reportFile) bool { return filepath.Ext(file.path) != ".txt" })
}

// write writes the report to all files. One that cannot be written keeps what it had.
func (f reportFiles) write(r *report.Report, all bool) error {
	var errs []error
	for _, file := range f {
		err := replaceFile(file.path, func(w io.Writer) error { return file.format(w, r, all) })
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

// replaceFile gives the file at path what write writes, all of it or nothing: a file that
// was there keeps what it had where that fails, and its mode where it does not.
func replaceFile(path string, write func(io.Writer) error) error {
	file, err := createBeside(path)
	if err != nil {
		return err
	}
	err = fill(file, write)
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // is in nobody's way
	}
	return err
}

// tryReplacing is the error that replaceFile would have for path as things stand. Nothing
// stays of the attempt, so that a process that is killed later leaves nothing behind.
func tryReplacing(path string) error {
	file, err := createBeside(path)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Remove(file.Name())
}

// createBeside makes a file in the same file system, of a name that no other process takes.
func createBeside(path string) (*os.File, error) {
	mode := os.FileMode(0o644)
	if there, err := os.Stat(path); err == nil {
		mode = there.Mode().Perm()
	}
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	name := "." + filepath.Base(path) + "." + hex.EncodeToString(salt[:])
	return os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// fill writes a file down to the disk, and closes it.
func fill(file *os.File, write func(io.Writer) error) error {
	defer file.Close()
	out := bufio.NewWriter(file)
	if err := write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}
