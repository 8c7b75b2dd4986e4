// Package registry implements the OCI distribution protocol, and Docker's before it, for
// registries: it is a [content.Source] and a [content.Target] with all abilities of
// package content.
//
// Start at [New] and [Client.Repository]. One Client serves a whole run: it holds, for each
// registry, the connections, the tokens and what the registry was seen to be able to do.
//
// A request that is an item by itself (a manifest, a tag, a page of a listing) waits for a slot
// of package limit, and is retried by package retry. The requests of a blob are sent once, with
// the slots of the caller.
//
// From the top: this package has a file each for blobs, uploads, manifests and lists; they make calls, which
// caller.go sends. internal/auth authorizes them, internal/wire has the RoundTrippers, and internal/answer reads
// answers. Package hub reads Docker Hub's own API over a Client's connections.
//
// The package guarantees that credentials go to the registry's own host and to the token
// server that it names, never along a redirect; that no secret is in an error or in the
// log; that a blob is never committed whose bytes were not right; and that no wait is
// without a limit while the limit never falls on a whole body.
package registry
