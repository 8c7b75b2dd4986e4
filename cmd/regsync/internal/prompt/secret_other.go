//go:build !linux && !darwin

package prompt

import (
	"os"
	"runtime"

	"golang.org/x/term"
)

// readSecret reads a line with the echo off.
func readSecret(in *os.File) (string, error) {
	raw, err := term.ReadPassword(int(in.Fd()))
	runtime.KeepAlive(in)
	return string(raw), err
}
