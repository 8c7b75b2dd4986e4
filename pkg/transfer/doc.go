// Package transfer is the engine: it moves images from one place to others.
//
// Start at [Copy] or, for many images, at [Engine.Run]. A [Job] says what is wanted; the engine plans each job (which
// digest, which platforms, what must be where) reading manifests only, and executes the
// plans of one run together, so that each unique blob leaves its source once and enters
// each destination registry once. [Engine.Plan] does the first half alone.
//
// A tag is moved only after everything under it is there. The engine prints nothing: it
// reports state changes to [Options].Observe, bytes through [Counters], and one [Result] a
// job. It knows no HTTP, no credentials and no backend: an [Opener] gives it those.
package transfer
