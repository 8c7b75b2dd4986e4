package main

import (
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
)

// storeDir is the local store's: the flag's, or below the XDG data directory. It is empty
// where nobody says whose home that would be in, as under cron.
func (a *app) storeDir() string {
	return a.directory(a.flags.store, "XDG_DATA_HOME", xdg.DataHome, "store")
}

// stateDir is for what is remembered between runs, in the same way.
func (a *app) stateDir() string {
	return a.directory(a.flags.state, "XDG_STATE_HOME", xdg.StateHome, "")
}

// spoolDir is where blobs wait that several destinations need. It is not the system's
// temporary directory, which is often memory; where it cannot be made, it is empty.
func (a *app) spoolDir() string {
	state := a.stateDir()
	if state == "" {
		return ""
	}
	dir := filepath.Join(state, "spool")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return dir
}

// directory is what the flag says, or else ours below the XDG directory of the variable;
// empty where the environment has neither that nor a home.
func (a *app) directory(flag, variable, base, name string) string {
	if flag != "" {
		return flag
	}
	if _, err := os.UserHomeDir(); err != nil && a.getenv(variable) == "" {
		return ""
	}
	return filepath.Join(base, "regsync", name)
}
