// Package registrytest is a registry in the test's own process, with faults and with the
// quirks of real registries, and what tests push to it and ask it afterwards.
//
// Start at [New], [Image] and [Server.Push]. What is below /v2/ is olareg, in memory; around it lie, from the
// outside: the log of requests, the link (speed and latency), faults of single requests ([Server.Fail]), accounts
// ([WithBasic], [WithTokens]), quirks ([With]), replaced content ([Server.ReplaceManifest]), and the dialect of CNCF
// distribution. Methods of Server that read or change the registry's content bypass all of these except the dialect:
// they need no account, trigger no fault and are not in the log.
//
// Faults and quirks have names: see [Catalogue], or docs/FAULTS.md. A [Profile] has the quirks of a real registry.
// With [In], servers and clients use an in-memory network, which works with the clock of testing/synctest.
//
// olareg v0.1.2 and distribution v3.1 agree on these, so that olareg's answer is passed on:
//
//   - a mount from the same repository: 201 where the blob is there, else 202 with a session;
//   - a mount from another repository: 201 where that has the blob, else 202 with a session;
//   - blobs belong to repositories: what one holds is not found in another;
//   - Range on blobs: 206 with Content-Range, or 416;
//   - a manifest whose blobs or children are missing: 400 MANIFEST_BLOB_UNKNOWN;
//   - what an upload got before its connection broke is kept, and GET of the session says so
//     by 204, Range and a new Location; each Location serves once;
//   - DELETE of a digest removes its tags, DELETE of a tag leaves the manifest; both 202;
//   - tags/list has n, last and Link.
//
// They differ in these, and the server does as distribution does:
//
//   - POST with digest and a body: olareg stores it (201), distribution opens a session (202);
//   - mount without from: olareg looks into the same repository, distribution ignores it;
//   - an old Location: olareg says 400, distribution 416 RANGE_INVALID;
//   - an unknown session: 400 against 404 BLOB_UPLOAD_UNKNOWN;
//   - the Range of a session without a byte: "0--1" against "0-0";
//   - other bytes than the digest: BLOB_UPLOAD_INVALID against DIGEST_INVALID;
//   - the answer to a commit or mount has Docker-Content-Digest only from distribution;
//   - tags/list of a repository without tags: 200 and an empty list against 404
//     NAME_UNKNOWN, although blobs may be there;
//   - artifact manifests: neither takes them, this registry does, as others do;
//   - foreign layers with URLs: olareg demands them; distribution does not where its
//     configuration allows the URLs, and refuses the manifest elsewhere ([NoLayerURLs]);
//   - the referrers API and OCI-Subject: olareg has them, distribution answers 404
//     ([ReferrersAPI] is as olareg);
//   - an OCI image manifest is served by distribution only where Accept names its type, but
//     an index always; olareg goes by Accept, and */* is nothing to it;
//   - the answer to a commit of a blob by another digest than its sha256 names it by its sha256;
//   - a mount of such a blob from another repository: 201, and it is not there;
//   - DELETE of a session: 202 against 204;
//   - only distribution has _catalog, with a Link after each full page.
//
// This was compared with a distribution v3.1 of default settings, request by request. One
// difference is left: after DIGEST_INVALID distribution keeps the session with the wrong
// bytes, and olareg does not.
package registrytest
