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
// Inside, each mapping of the file has a table of its keys (see [fields]), and each type
// of value one small function that turns a node into it.
package config
