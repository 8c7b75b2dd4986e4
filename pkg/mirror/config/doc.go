// Package config reads the configuration of a mirror: which images go where, and how the
// registries are reached.
//
// Start at [Load]. It is strict: a file with mistakes yields no configuration at all, but
// an [Errors] with every mistake of every file, each with file, line, column, the line
// itself and a caret. Unknown keys, keys that come twice, values of the wrong type, null
// and a second document are mistakes.
//
// The package guarantees that what it returns is complete: variables are replaced,
// defaults are applied, relative paths are absolute, references and patterns are parsed.
// Secrets are held as [Secret], and no error shows one.
//
// What cannot be right together is a mistake only where the files alone make it certain: two
// images for one tag, circles, rules that take no tag or do nothing. The rest shows when
// registries are asked.
//
// Inside, each mapping of the file has a [form] with a table of its keys, and each type of
// value a [kind]: how a node is read as one, and its JSON Schema, of which [Schema] is made.
package config
