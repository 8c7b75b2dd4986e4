// Package ui is what people and scripts see of a run: progress, plans, reports, tables.
//
// Start at [NewProgress], a reader of the engine's one event stream, which writes to
// stderr: live on a terminal, one line a step elsewhere, or one JSON document a line. What
// belongs to stdout is data first and rendered after: [Plan], [Report], [Table].
//
// The package guarantees that nothing that a registry says reaches a terminal as a control
// sequence: every name and every error goes through [Clean].
package ui
