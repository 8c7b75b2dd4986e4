// Package wire sends requests to a registry, to its token server, and to the hosts that the registry redirects to.
//
// Start at [NewHost] and [Host.Send], which calls in turn: redirect.go to follow redirects; report.go to count and log
// requests and to report them to the limiter; lifetime.go to end requests whose peer is silent; route.go to choose the
// connections, and https or http.
//
// The package guarantees that Authorization is sent only to the host that it is meant for, that it does not connect
// to a link-local or cloud-metadata address that a server names, that every wait has a limit but the transfer of a
// whole body has none, and that the log contains no secret.
package wire
