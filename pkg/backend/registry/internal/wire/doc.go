// Package wire sends requests to a registry, to its token server, and to the hosts that the registry redirects to.
//
// Start at [NewHost]. RoundTrippers over a [Request], each in its own file, do what all requests need. From the top:
// redirect follows redirects; report counts and logs requests and reports them to the limiter; lifetime ends
// requests whose peer is silent; route chooses the connections, and https or http.
//
// The package guarantees that Authorization is sent only to the host that it is meant for, that it does not connect
// to a link-local or cloud-metadata address that a server names, that every wait has a limit but the transfer of a
// whole body has none, and that the log contains no secret.
package wire
