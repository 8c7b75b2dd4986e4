// Package retry says which error may be tried again, and when. It is the one place in
// regsync that decides this.
//
// Start at [Policy.Do]. An error is judged by its cause, never by its text: [Retryable]
// looks for a status (a method HTTPStatus() int), for errors of the network, for content
// that ended early, and for errors that say themselves that another attempt is in vain (a
// method Lasting() bool). What it does not know it does not repeat.
package retry
