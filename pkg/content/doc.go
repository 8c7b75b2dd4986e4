// Package content is the vocabulary of everything that holds images: a registry's
// repository, an OCI image layout, the local store, memory.
//
// Start at [Source] and [Target]. A backend implements them, and those of the optional
// abilities in abilities.go that it really has; callers ask for an ability by type
// assertion and have a fallback where it is missing. A Target is never wrapped in a
// decorator, because that would hide its abilities.
//
// The bytes of a blob go from one to the other through a [Stream], which verifies them.
//
// Manifests and blobs are told apart by where they stand in the graph, never by their
// media type: a layer may carry the media type of a manifest.
//
// The package guarantees that what [FetchTree] returns is within the bounds of [Limits]
// and that every manifest in it matches its digest. The conformance suite that every
// backend passes is in contenttest.
package content
