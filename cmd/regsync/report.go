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

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/report"
)

// reportFiles are the files of --report. They are checked before a run, and written at its end.
type reportFiles []reportFile

type reportFile struct {
	path   string // without symbolic links
	ending string // of the path as it was given; it decides the format
}

func (f reportFile) write(w io.Writer, r *report.Report, verbose bool) error {
	switch f.ending {
	case ".json":
		return safe.WriteJSON(w, r)
	case ".xml":
		return ui.WriteJUnit(w, r)
	default:
		return ui.WriteReport(w, r, listing(verbose), listedByVerbose)
	}
}

// checkReports checks the paths of --report. The error, a [usageError], names each that cannot be written.
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
	ending := filepath.Ext(path)
	if !slices.Contains([]string{".json", ".xml", ".txt"}, ending) {
		return reportFile{}, errors.New("unknown file extension: use .json, .xml (JUnit) or .txt")
	}
	// A link stays one, and what it points at is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return reportFile{}, errors.New("exists and is not a regular file")
	}
	if err := tryReplacing(path); err != nil {
		return reportFile{}, fmt.Errorf("cannot be written: %w", unwrapPath(err))
	}
	return reportFile{path, ending}, nil
}

// unwrapPath returns err without its paths: one is the temporary name.
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

// whole reports whether a file also lists what is unchanged.
func (f reportFiles) whole() bool {
	return slices.ContainsFunc(f, func(file reportFile) bool { return file.ending != ".txt" })
}

// write writes the report to all files. A file that cannot be written stays as it was.
func (f reportFiles) write(r *report.Report, verbose bool) error {
	var errs []error
	for _, file := range f {
		err := replaceFile(file.path, func(w io.Writer) error { return file.write(w, r, verbose) })
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

// replaceFile writes the file at path completely, or leaves it as it was. A file that exists keeps its mode.
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
		_ = os.Remove(file.Name())
	}
	return err
}

// tryReplacing returns the error that replaceFile would have now. It leaves no file behind.
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

// createBeside creates a file with a random name in the directory of path, and so in the same file system.
func createBeside(path string) (*os.File, error) {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	name := "." + filepath.Base(path) + "." + hex.EncodeToString(salt[:])
	return os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// fill writes and syncs a file, and closes it.
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
