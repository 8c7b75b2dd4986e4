// Package answer reads what servers answer: refusals, headers, bounded documents, and the addresses
// that an answer names. Everything in an answer is untrusted input.
//
// Start at [New], which reads a refusal, and [Follow], which every address of an answer passes
// through. The package sends nothing. It guarantees that no secret is in an error, that a text from
// outside is one short line without control characters, and that no document is read beyond its limit.
package answer
