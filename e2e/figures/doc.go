// Package figures measures what a copy costs: requests, bytes, time and memory, over real
// registries that run as processes beside it. It needs no Docker. Run it with make figures,
// which prints the table; a figure above its limit fails.
package figures
