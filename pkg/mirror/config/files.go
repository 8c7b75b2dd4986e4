package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// The most that is read of a file, in bytes.
const (
	maxFile         = 4 << 20
	maxPasswordFile = 64 << 10
)

// readLimited reads a file that is not larger than limit.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit)
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	return data, err
}

// plainText checks that a file is UTF-8 text, and takes a byte order mark off.
func plainText(name, dir string, data []byte, found *problems) (*source, string, bool) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		found.add(nil, Position{File: name}, "the file is UTF-16", "save it as UTF-8")
		return nil, "", false
	}
	src := newSource(name, dir, text)
	for i, line := range src.lines {
		column := 0
		for at, r := range line {
			column++
			if _, size := utf8.DecodeRuneInString(line[at:]); r == utf8.RuneError && size == 1 {
				found.add(nil, src.position(i+1, column), "the file is not UTF-8", "save it as UTF-8")
				return nil, "", false
			}
			if r < ' ' && r != '\t' || r == 0x7f {
				found.add(src, src.position(i+1, column), fmt.Sprintf("a control character (U+%04X)", r), "")
				return nil, "", false
			}
		}
	}
	return src, text, true
}

// passwordFile reads a password from the file that a node names, less one newline.
func (d *decoder) passwordFile(n *yaml.Node, what string) (Secret, bool) {
	text, ok := d.filled(n, what)
	if !ok {
		return "", false
	}
	path := d.src.path(text)
	data, err := readLimited(path, maxPasswordFile)
	if err != nil {
		d.fail(d.resolve(n), "%s: %s: %s", what, d.shown(n, path), pathCause(err))
		return "", false
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if password == "" {
		d.fail(d.resolve(n), "%s: %s is empty", what, d.shown(n, path))
		return "", false
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 && runtime.GOOS != "windows" {
		d.warn("%s: every user of this machine can read the password in %s; chmod 600 it", d.src.at(n), d.shown(n, path))
	}
	return Secret(password), true
}

// fromFile reads the sources that a list names, one a line, and reports whether all of them
// are understood.
func (d *decoder) fromFile(n *yaml.Node, what string) (all []Source, ok bool) {
	text, ok := d.filled(n, what)
	if !ok {
		return nil, false
	}
	path := d.src.path(text)
	data, err := readLimited(path, maxFile)
	if err != nil {
		d.fail(d.resolve(n), "%s: %s: %s", what, d.shown(n, path), pathCause(err))
		return nil, false
	}
	src, _, ok := plainText(d.display(text), filepath.Dir(path), data, d.problems)
	if !ok {
		return nil, false
	}
	d.visits += visitsFor(len(data))
	whole := true
	for i, line := range src.lines {
		content, _, _ := strings.Cut(line, "#")
		trimmed := strings.TrimLeft(content, " \t")
		name := strings.TrimSpace(trimmed)
		if name == "" {
			continue
		}
		at := src.position(i+1, 1+len(content)-len(trimmed))
		sources, err := d.line(name, src, at, n)
		if err != nil {
			d.problems.add(src, at, err.Error(), "")
			whole = false
		}
		all = append(all, sources...)
	}
	if len(all) == 0 && whole {
		d.fail(d.resolve(n), "%s: %s names no image", what, d.shown(n, path))
	}
	return all, whole
}

// line reads a line of a list.
func (d *decoder) line(name string, src *source, at Position, n *yaml.Node) ([]Source, error) {
	if strings.Contains(name, "${") {
		return nil, fmt.Errorf("%s: variables are not replaced in a list", quote.Word(name))
	}
	return d.sources(name, src, at, n)
}

// display is what the user would call a file that the present one names.
func (d *decoder) display(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.src.name), path)
}

// shown is what a message calls the path that a node names.
func (d *decoder) shown(n *yaml.Node, path string) string {
	if target := d.resolve(n); hasVariable(target) {
		return quote.Word(target.Value)
	}
	return path
}

// pathCause is the cause of an error that names a path, without the path.
func pathCause(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
