// Package auth gets requests let in by one registry: it answers challenges, and asks token servers for tokens.
//
// Start at [New] and [Authorizer.Send]. The package guarantees that a password that was refused, and never
// accepted before, is not tried again for an hour, because wrong passwords lock the user's account at Docker Hub;
// that equal tokens are asked for once, however many requests wait for them; and that a body that was begun is
// never sent again.
package auth
