package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Position is a place in a file. Line and Column count from 1, the column in characters.
type Position struct {
	File         string
	Line, Column int
}

// String is "file:line:column", without the parts that are zero.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// source is one text that is being read.
type source struct {
	// name is what the user calls it; dir is what relative paths in it are relative to.
	name, dir string
	lines     []string
	// secrets are the spans that no excerpt shows, by line; nil until they are asked for.
	secrets map[int][]span
}

// newSource splits a text where YAML breaks lines.
func newSource(name, dir, text string) *source {
	breaks := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")
	return &source{name: name, dir: dir, lines: strings.Split(breaks.Replace(text), "\n")}
}

// path makes a path of the text independent of the directory we run in.
func (s *source) path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(s.dir, p)
}

func (s *source) position(line, column int) Position {
	return Position{File: s.name, Line: line, Column: column}
}

func (s *source) at(n *yaml.Node) Position { return s.position(n.Line, n.Column) }

// line gives a line by its number from 1, or nothing.
func (s *source) line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	return s.lines[number-1]
}
