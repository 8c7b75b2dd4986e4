// Package mirror is the policy above the engine: it selects the images of a configuration and reports the results.
//
// Start at [Service], which mirrors a configuration once for each call of its Run. Below it, [Run] executes a [Selection]
// as one run of the engine, [Plan] says what a run would do, and [Explain] why. All three turn the sources of the
// configuration into jobs in the same way (jobs.go), while the run goes on, so that memory does not grow with the number of
// images: a plan in the order of the configuration, a run in that order as far as the sources are listed.
//
// internal/list decides what is listed next and which source gives the next job, internal/conflict which image is written
// to a tag.
//
// The package guarantees that a repository whose tags cannot be listed fails alone, whole, and is in the report; that each
// repository is listed once in a run; that no two images are written to one tag, and that it is the same image in every
// run; and that a source whose listing hangs delays only later sources that may write to the same repository.
package mirror
