// Package auth authorizes the requests to one registry: it answers challenges, and requests tokens from token
// servers.
//
// Start at [New] and [Authorizer.Send]. The package guarantees that a password that was refused, and never accepted
// before, is not tried again for an hour, because wrong passwords lock the user's account at Docker Hub; that
// concurrent requests share one request for the same token (single flight); and that a body whose transfer has begun
// is not sent again.
package auth
