// Package glob is the one meaning of a glob in a configuration: in `from`, in patterns of tags and of their suffixes.
//
//   - any number of characters, but no `/`
//     ?       one character, but no `/`
//     [a-f0]  one of these characters; [!a-f0] and [^a-f0] one that is not among them
//
// A glob matches a whole name. A backslash alone makes no glob: it separates folders on Windows. In a glob, it
// takes the meaning of the next character away.
package glob

import (
	"path"
	"regexp"
	"strings"
)

var wildcard = regexp.MustCompile(`\*+|\?|\[(?:\\.|[^\]\\])*\]|\\.`)

// Is reports whether a text is a glob, and not a name.
func Is(text string) bool { return strings.ContainsAny(text, "*?[") }

// Valid reports whether a glob can be read: each `[` is closed, and each `-` in it makes a range.
func Valid(glob string) bool {
	_, err := path.Match(goGlob(glob), "")
	return err == nil
}

// Match reports whether a glob matches a name. A glob that is not valid matches none.
func Match(glob, name string) bool {
	matched, err := path.Match(goGlob(glob), name)
	return matched && err == nil
}

// goGlob is a glob as package path reads it: shells negate a class with `!`, Go with `^`.
func goGlob(glob string) string { return strings.ReplaceAll(glob, "[!", "[^") }

// Folder is the elements that every name that matches begins with: "team/" of "team/app-*".
func Folder(glob string) string {
	prefix, _, _ := strings.Cut(Replace(glob, "*"), "*")
	return prefix[:strings.LastIndex(prefix, "/")+1]
}

// Replace puts a text in the place of each wildcard. The result need not match the glob.
func Replace(glob, text string) string { return wildcard.ReplaceAllLiteralString(glob, text) }
