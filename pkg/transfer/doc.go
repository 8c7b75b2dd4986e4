// Package transfer is the engine: it copies images from a source to destinations.
//
// Start at [Copy] or, for many images, at [Engine.Run]. A [Job] describes the desired result; the engine plans each
// job (which digest and platforms, and what each destination lacks), reading only manifests, and executes the plans
// of one run together, so that each unique blob leaves its source once and enters each destination registry once.
// [Engine.Plan] does the first half alone.
//
// A tag moves only after everything below it was copied. The engine prints nothing: it
// reports state changes to [Options].Observe, bytes through [Counters], and one [Result] for each
// job. It does not depend on HTTP, credentials or backends: an [Opener] opens the places to read and write.
package transfer
