// Package flight does equal work once, however many ask for it.
//
// Start at [Group], which shares what is under way, and [Memo], which also keeps what came of
// it. The work belongs to none who ask: it goes on while anybody waits for it and is
// cancelled when the last has gone, so that one whose time is up takes nothing from the
// others.
package flight
