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

	"github.com/regsync/regsync/internal/ui"
)

// reportFiles are the files of --report. They are opened before a run, so that a path that
// cannot be written is told before anything is asked, and written at its end.
type reportFiles []*reportFile

// reportFile is a file under its temporary name, which it leaves when it is whole.
type reportFile struct {
	path   string
	format reportFormat
	file   *os.File
	temp   string
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

// openReports begins all files; the error, a [usageError], tells of each that cannot be.
func openReports(paths []string) (reportFiles, error) {
	var files reportFiles
	var errs []error
	for i, path := range paths {
		file, err := openReport(path)
		if err == nil && slices.Contains(paths[:i], path) {
			file.discard()
			err = errors.New("is given twice")
		}
		if err != nil {
			errs = append(errs, &usageError{fmt.Errorf("--report %s: %w", path, err)})
			continue
		}
		files = append(files, file)
	}
	if len(errs) > 0 {
		files.discard()
		return nil, errors.Join(errs...)
	}
	return files, nil
}

func openReport(path string) (*reportFile, error) {
	format, ok := reportFormatOf(path)
	if !ok {
		return nil, errors.New("the ending decides: .json, .xml (JUnit) or .txt")
	}
	// A link stays one, and what it points at is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("it is there, and is no regular file")
	}
	temp := temporaryName(path)
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot be written: %w", unwrapPath(err))
	}
	return &reportFile{path: path, format: format, file: file, temp: temp}, nil
}

// temporaryName is a name beside path, in the same file system.
func temporaryName(path string) string {
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+hex.EncodeToString(salt[:]))
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
	return slices.ContainsFunc(f, func(file *reportFile) bool { return filepath.Ext(file.path) != ".txt" })
}

// discard gives up files that were not written.
func (f reportFiles) discard() {
	for _, file := range f {
		file.discard()
	}
}

// write writes the report to all files. One that cannot be written keeps what it had.
func (f reportFiles) write(r *ui.Report, all bool) error {
	var errs []error
	for _, file := range f {
		if err := file.write(r, all); err != nil {
			errs = append(errs, fmt.Errorf("write report %s: %w", file.path, unwrapPath(err)))
		}
	}
	return errors.Join(errs...)
}

func (f *reportFile) write(r *ui.Report, all bool) error {
	defer f.discard()
	out := bufio.NewWriter(f.file)
	if err := f.format(r, out, all); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	return os.Rename(f.temp, f.path)
}

// discard closes the file and removes its temporary name, if it has that yet. It may be
// called again.
func (f *reportFile) discard() {
	if f.file.Close() == nil {
		os.Remove(f.temp)
	}
}
