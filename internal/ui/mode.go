package ui

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Mode is how progress is shown.
type Mode string

// The modes, as --progress names them.
const (
	Auto  Mode = "auto"  // live on a terminal, plain elsewhere
	Plain Mode = "plain" // one line a finished step, with its time
	JSON  Mode = "json"  // one JSON document an event, a line each
	None  Mode = "none"
)

// ParseMode reads a mode.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Auto, Plain, JSON, None:
		return m, nil
	}
	return "", fmt.Errorf("progress mode %q: want auto, plain, json or none", s)
}

// Style is which of Docker's commands the words and lines are taken from.
type Style int

// The styles.
const (
	Copying Style = iota // copy and sync: many images, from anywhere to anywhere
	Pushing              // docker push
	Pulling              // docker pull
)

// terminal is a writer that lines can be drawn over on.
type terminal interface {
	io.Writer
	// Size is the present size of the window.
	Size() (columns, rows int, err error)
}

// asTerminal finds out whether w is a terminal that understands more than text.
func asTerminal(w io.Writer, env func(string) (string, bool)) (terminal, bool) {
	if kind, _ := env("TERM"); kind == "dumb" {
		return nil, false
	}
	switch w := w.(type) {
	case terminal:
		return w, true
	case *os.File:
		return console{w}, term.IsTerminal(int(w.Fd()))
	}
	return nil, false
}

// console is the terminal that the process was started on.
type console struct{ *os.File }

var _ terminal = console{}

func (c console) Size() (columns, rows int, err error) { return term.GetSize(int(c.Fd())) }
