// Package retry decides which errors are retried, and when. It is the only place in regsync
// that decides this.
//
// Start at [Policy.Do], or at [Policy.NewBudget] if the wait between two attempts is not a
// sleep. There are two budgets. This package has the budget of one item (a manifest, a
// listing, a blob): a number of attempts, and a time after the first failure. Package limit
// has the budget of a registry that is down, and makes everything that needs the registry
// wait; see [Policy.Uncounted].
//
// [Retryable] judges an error by its cause, never by its text: by a status (a method
// HTTPStatus() int), network errors, content that ended early, and errors that rule out
// another attempt (a method Lasting() bool). Unknown errors are not retried.
package retry
