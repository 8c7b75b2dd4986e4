// Package document holds the texts that a configuration is written in: their lines and YAML,
// positions in them, and the problems that are found.
//
// Start at [New]. A problem shows its line with a caret, and no excerpt shows a secret.
package document

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	// maxFile is the most that is read of a file, in bytes.
	maxFile = 4 << 20
	// maxDepth bounds how deep a file is nested; the format itself needs six levels.
	maxDepth = 64
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

// Source is one text.
type Source struct {
	// Lines are those of the text, where YAML breaks them.
	Lines     []string
	name, dir string
	text      string
	// secrets are the parts that no excerpt shows, by line; nil until they are needed.
	secrets map[int][]span
}

// ReadFile reads a file of at most 4 MiB. Its errors do not name the path.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	return ReadAll(f)
}

// ReadAll reads at most 4 MiB.
func ReadAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, withoutPath(err)
}

func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// New is a text with the name that the user calls it; relative paths in it start at dir. A
// text that is not plain UTF-8 is a problem, and gives false.
func New(name, dir string, data []byte, found *Problems) (*Source, bool) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	breaks := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")
	s := &Source{name: name, dir: dir, text: text, Lines: strings.Split(breaks.Replace(text), "\n")}
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		found.Add(s, s.Position(0, 0), "the file is UTF-16", "save it as UTF-8")
		return nil, false
	}
	for i, line := range s.Lines {
		column := 0
		for at, r := range line {
			column++
			if _, size := utf8.DecodeRuneInString(line[at:]); r == utf8.RuneError && size == 1 {
				s.Lines = nil // what cannot be read is not shown
				found.Add(s, s.Position(i+1, column), "the file is not UTF-8", "save it as UTF-8")
				return nil, false
			}
			if r < ' ' && r != '\t' || r == 0x7f {
				found.Add(s, s.Position(i+1, column), fmt.Sprintf("unexpected control character (U+%04X)", r), "")
				return nil, false
			}
		}
	}
	return s, true
}

// Size is the length of the text in bytes.
func (s *Source) Size() int { return len(s.text) }

// Path makes a path in the text independent of the current directory.
func (s *Source) Path(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(s.dir, path)
}

// Display is what the user would call a file that the text names.
func (s *Source) Display(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.name), path)
}

// Position is a place in the text.
func (s *Source) Position(line, column int) Position {
	return Position{File: s.name, Line: line, Column: column}
}

// At is where a node begins.
func (s *Source) At(n *yaml.Node) Position { return s.Position(n.Line, n.Column) }

// line gives a line by its number from 1, or nothing.
func (s *Source) line(number int) string {
	if number < 1 || number > len(s.Lines) {
		return ""
	}
	return s.Lines[number-1]
}

// Parse gives the top node of a text that must hold one YAML document, or nil after it has
// added why there is none.
func (s *Source) Parse(found *Problems) *yaml.Node {
	loader, err := yaml.NewLoader(bytes.NewReader([]byte(s.text)),
		yaml.WithUniqueKeys(false), // repeated keys are reported with the other problems
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		found.Add(s, s.Position(0, 0), err.Error(), "")
		return nil
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) {
		found.Add(s, s.Position(0, 0), "the file is empty", "")
		return nil
	} else if err != nil {
		s.syntaxError(err, found)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		found.Add(s, s.At(&second), "a second YAML document begins here; only one is allowed", "")
	} else if !errors.Is(err, io.EOF) {
		s.syntaxError(err, found)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 {
		return nil
	}
	return first.Content[0]
}

// syntaxError adds what the YAML library found, with what probably caused it.
func (s *Source) syntaxError(err error, found *Problems) {
	loadError, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		found.Add(s, s.Position(0, 0), "not YAML: "+err.Error(), "")
		return
	}
	at := s.Position(loadError.Mark.Line, loadError.Mark.Column)
	if at.Line > len(s.Lines) || s.line(at.Line) == "" && loadError.ContextMark.Line > 0 {
		at = s.Position(loadError.ContextMark.Line, loadError.ContextMark.Column)
	}
	message := loadError.Message
	if strings.HasPrefix(message, "unknown anchor") {
		message = "unknown anchor" // without the name: it may be an unquoted password
	}
	// The library often notices on the next line, and stops there.
	alike := []string{s.Lookalike(at.Line - 1), s.Lookalike(at.Line)}
	hint := strings.Join(slices.DeleteFunc(alike, func(s string) bool { return s == "" }), "; ")
	found.Add(s, at, "not YAML: "+message, cmp.Or(hint, syntaxHint(s.line(at.Line))))
}

// syntaxHint guesses why a line is not YAML.
func syntaxHint(line string) string {
	content := strings.TrimLeft(line, " ")
	_, value, _ := strings.Cut(content, ": ")
	value = strings.TrimSpace(strings.TrimPrefix(value, "["))
	item := strings.TrimSpace(strings.TrimPrefix(content, "- "))
	special := func(s string) bool { return s != "" && strings.ContainsRune("*&@%!`", rune(s[0])) }
	switch {
	case strings.HasPrefix(content, "\t"):
		return "indent with spaces, not with tabs"
	case strings.Contains(line, "{{") || strings.Contains(line, "${"):
		return "put values with `{{…}}` or `${…}` in quotes"
	case special(value) || special(item) || strings.Contains(content, ", *") || strings.Contains(content, "[*"):
		return "text that begins with `*`, `&`, `@`, `%`, `!` or a backtick needs quotes"
	default:
		return ""
	}
}

// Lookalike describes the first character of a line that a Chinese keyboard or a word
// processor puts where YAML needs a plain one; comments do not count.
func (s *Source) Lookalike(line int) string {
	text, _, _ := strings.Cut(" "+s.line(line), " #")
	for _, r := range text {
		want, ok := plainOf(r)
		switch {
		case !ok:
		case want == ' ':
			return fmt.Sprintf("line %d has a special space (U+%04X) where YAML needs a plain one", line, r)
		case strings.ContainsRune("“”‘’", r):
			return fmt.Sprintf("line %d has a curly `%c` where YAML needs `%c`", line, r, want)
		default:
			return fmt.Sprintf("line %d has a full-width `%c` where YAML needs `%c`", line, r, want)
		}
	}
	return ""
}

// HasLookalike reports whether a word has such a character.
func HasLookalike(word string) bool {
	return strings.ContainsFunc(word, func(r rune) bool { _, ok := plainOf(r); return ok })
}

// plainOf is the plain character that one looks like.
func plainOf(r rune) (rune, bool) {
	switch r {
	case '\u00a0', '\u3000':
		return ' ', true
	case '“', '”':
		return '"', true
	case '‘', '’':
		return '\'', true
	case '、':
		return ',', true
	case '【':
		return '[', true
	case '】':
		return ']', true
	}
	// The full-width forms of ASCII are contiguous (Unicode, FF01 to FF5E). Letters and digits
	// among them are part of somebody's text.
	plain := r - '！' + '!'
	ascii := r >= '！' && r <= '～'
	return plain, ascii && strings.ContainsRune(":;,[]{}-\"'*#@/._=<>&!|%`", plain)
}
