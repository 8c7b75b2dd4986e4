// Package mirror is the policy above the engine: which images a configuration means, and
// what became of them.
//
// Start at [Run], which executes a configuration as one run of the engine, and at [Plan],
// which tells what a run would do. Both take their jobs from [Selection.Jobs]: one job per
// image, in the order of the configuration, made while the run goes on, so that memory
// does not grow with the number of images.
//
// The package guarantees that a repository whose tags cannot be listed fails alone, and is
// in the outcome; and that no two images are written to one tag in one run.
package mirror
