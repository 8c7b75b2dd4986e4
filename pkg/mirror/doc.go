// Package mirror is the policy above the engine: which images a configuration means, and
// what became of them.
//
// Start at [Run], which executes a configuration as one run of the engine, and at [Plan],
// which tells what a run would do. Both turn sources into jobs while they go on (merge.go),
// so that memory does not grow with the number of images: a plan strictly in the order of the
// configuration, a run in that order as far as the sources are listed.
//
// The package guarantees that a repository whose tags cannot be listed fails alone, whole,
// and is in the outcome; that each repository is listed once in a run; that no two images
// are written to one tag in one run, and that it is always the same one of them that is; and
// that a source whose listing hangs delays none but those after it that may write to the same
// repository. How the entries share the engine is decided there.
package mirror
