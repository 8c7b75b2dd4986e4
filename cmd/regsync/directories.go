package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
)

// storeDir is the local store's: the flag's, or below the XDG data directory.
func (a *app) storeDir() string {
	return cmp.Or(a.flags.store, filepath.Join(xdg.DataHome, "regsync", "store"))
}

// spoolDir is where blobs wait that several destinations need. It is not the system's
// temporary directory, which is often memory; where it cannot be made, it is empty.
func (a *app) spoolDir() string {
	dir := filepath.Join(cmp.Or(a.flags.state, filepath.Join(xdg.StateHome, "regsync")), "spool")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return dir
}
