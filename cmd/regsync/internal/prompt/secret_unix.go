//go:build linux || darwin

package prompt

import (
	"os"

	"golang.org/x/sys/unix"
)

// hideEcho turns the echo of a terminal off.
func hideEcho(in *os.File) error {
	fd := int(in.Fd())
	hidden, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, setTermios, hidden)
}

// readHidden reads a line. Unlike golang.org/x/term, which reads on for ever after Ctrl-D, it returns io.EOF then.
func readHidden(in *os.File) (string, error) { return readLine(in) }
