//go:build linux || darwin

package prompt

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readSecret reads a line with the echo off. Unlike that of golang.org/x/term, which reads on for ever after Ctrl-D, it returns
// io.EOF then.
func readSecret(in *os.File) (text string, err error) {
	fd := int(in.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return "", err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, &hidden); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unix.IoctlSetTermios(fd, setTermios, before)) }()
	return readLine(in)
}
