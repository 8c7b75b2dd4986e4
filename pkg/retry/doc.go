// Package retry decides which error may be tried again, and when. It is the only place in
// regsync that decides this.
//
// Start at [Policy.Do], or at [Policy.NewBudget] where the wait between two attempts is not
// a sleep. There are two budgets. This package has that of one item (a manifest, a listing,
// a blob): so many attempts, and so much time after the first failure. That of a registry
// which does not answer at all belongs to package limit, which makes everything that needs
// the registry wait; see [Policy.Uncounted].
//
// An error is judged by its cause, never by its text: [Retryable] looks for a status (a
// method HTTPStatus() int), for errors of the network, for content that ended early, and for
// errors that state themselves that another attempt is useless (a method Lasting() bool).
// An error that it does not know is not retried.
package retry
