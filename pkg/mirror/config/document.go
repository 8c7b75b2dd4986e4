package config

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// maxDepth bounds how deep a file is nested; the format itself needs six levels.
const maxDepth = 64

// document parses a text that must hold one YAML document and gives its top node, or nil
// after having recorded why there is none.
func document(src *source, data []byte, found *problems) *yaml.Node {
	loader, err := yaml.NewLoader(bytes.NewReader(data),
		yaml.WithUniqueKeys(false), // repeated keys are reported with the other mistakes
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		found.add(nil, src.position(0, 0), err.Error(), "")
		return nil
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) {
		found.add(nil, src.position(0, 0), "the file is empty", "")
		return nil
	} else if err != nil {
		syntaxError(src, err, found)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		found.add(src, src.at(&second), "a second document begins here; one file holds one", "")
	} else if !errors.Is(err, io.EOF) {
		syntaxError(src, err, found)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 {
		return nil
	}
	return first.Content[0]
}

// syntaxError records what the YAML library found, in words for somebody who does not know
// its insides.
func syntaxError(src *source, err error, found *problems) {
	loadError, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		found.add(nil, src.position(0, 0), "not YAML: "+err.Error(), "")
		return
	}
	at := src.position(loadError.Mark.Line, loadError.Mark.Column)
	if at.Line > len(src.lines) || src.line(at.Line) == "" && loadError.ContextMark.Line > 0 {
		at = src.position(loadError.ContextMark.Line, loadError.ContextMark.Column)
	}
	message := loadError.Message
	if strings.HasPrefix(message, "unknown anchor") {
		message = "no anchor has this name" // without the name: it may be an unquoted password
	}
	// YAML often notices on the next line, and no further: both are told at once.
	alike := []string{lookalikes(src, at.Line-1), lookalikes(src, at.Line)}
	hint := strings.Join(slices.DeleteFunc(alike, func(s string) bool { return s == "" }), "; ")
	found.add(src, at, "not YAML: "+message, cmp.Or(hint, yamlHint(src.line(at.Line))))
}

// yamlHint guesses why a line is not YAML.
func yamlHint(line string) string {
	content := strings.TrimLeft(line, " ")
	_, value, _ := strings.Cut(content, ": ")
	value = strings.TrimSpace(strings.TrimPrefix(value, "["))
	item := strings.TrimSpace(strings.TrimPrefix(content, "- "))
	switch {
	case strings.HasPrefix(content, "\t"):
		return "indent with spaces, not with tabs"
	case strings.Contains(line, "{{") || strings.Contains(line, "${"):
		return "put values with `{{…}}` or `${…}` in quotes"
	case startsSpecial(value) || startsSpecial(item) || strings.Contains(content, ", *") || strings.Contains(content, "[*"):
		return "text that begins with `*`, `&`, `@`, `%`, `!` or a backtick needs quotes"
	default:
		return ""
	}
}

func startsSpecial(s string) bool { return s != "" && strings.ContainsRune("*&@%!`", rune(s[0])) }
