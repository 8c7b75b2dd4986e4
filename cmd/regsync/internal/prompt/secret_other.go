//go:build !linux && !darwin

package prompt

import (
	"os"
	"runtime"

	"golang.org/x/term"
)

// hideEcho does nothing: readHidden does it.
func hideEcho(*os.File) error { return nil }

// readHidden reads a line with the echo off.
func readHidden(in *os.File) (string, error) {
	raw, err := term.ReadPassword(int(in.Fd()))
	runtime.KeepAlive(in)
	return string(raw), err
}
