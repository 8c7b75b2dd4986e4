// Package answer reads the answers of servers: refusals, headers, bounded documents, and the addresses that an
// answer names. Everything in an answer is untrusted input.
//
// Start at [New], which reads a refusal, [Follow], which checks every address in an answer, and [Secrets], which a
// server may repeat. The package sends nothing. It guarantees that no error contains a secret, that text from a server
// is one short line without control characters, and that no document is read beyond its limit.
package answer
