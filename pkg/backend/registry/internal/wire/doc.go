// Package wire carries requests to a registry, to its token server, and to where the registry redirects.
//
// Start at [NewHost]. What concerns all requests lies in RoundTrippers over a [Request], one a file,
// from the top: redirect follows redirects; report counts, logs and tells the limiter; lifetime ends
// requests whose peer is silent; route chooses the connections and between https and http.
//
// The package guarantees that Authorization goes no further than the host that it was meant for, that no
// connection is made to a link-local or cloud-metadata address that a server names, that no wait is
// without a limit while no limit falls on a whole body, and that no secret is in the log.
package wire
