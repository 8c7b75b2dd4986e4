package format

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"unicode"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
)

// functions are those that docker adds to the ones of text/template.
func functions() template.FuncMap {
	return template.FuncMap{
		"json":     safe.JSONLine,
		"join":     join,
		"split":    strings.Split,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"title":    title,
		"pad":      pad,
		"truncate": truncate,
	}
}

// headerFunctions let the functions of docker pass on the header of a column.
func headerFunctions() template.FuncMap {
	passing := template.FuncMap{}
	for name := range functions() {
		passing[name] = func(header string, _ ...any) string { return header }
	}
	return passing
}

// join joins the elements of any list.
func join(list any, separator string) (string, error) {
	elements := reflect.ValueOf(list)
	if !elements.IsValid() {
		return "", nil
	}
	if kind := elements.Kind(); kind != reflect.Slice && kind != reflect.Array {
		return "", fmt.Errorf("join: %v is not a list", list)
	}
	texts := make([]string, elements.Len())
	for i := range texts {
		texts[i] = fmt.Sprint(elements.Index(i).Interface())
	}
	return strings.Join(texts, separator), nil
}

// title turns the first letter of each word into a capital.
func title(s string) string {
	before := ' '
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(before) && !unicode.IsDigit(before) {
			before = r
			return unicode.ToTitle(r)
		}
		before = r
		return r
	}, s)
}

// pad adds spaces before and behind a text that is not empty.
func pad(s string, before, behind int) string {
	if s == "" {
		return s
	}
	return strings.Repeat(" ", max(0, before)) + s + strings.Repeat(" ", max(0, behind))
}

// truncate cuts a text to so many characters.
func truncate(s string, length int) string {
	if runes := []rune(s); len(runes) > length {
		return string(runes[:max(0, length)])
	}
	return s
}
