// Package prompt asks questions at a terminal. Start at [On].
package prompt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal asks questions on one stream and reads the answers from a terminal.
type Terminal struct {
	in  *os.File
	out io.Writer
}

// On returns the terminal that stdin is; false if it is none. Questions are written to out.
func On(stdin io.Reader, out io.Writer) (Terminal, bool) {
	in, ok := stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return Terminal{}, false
	}
	return Terminal{in: in, out: out}, true
}

// ErrCancelled is the error of a question that was answered with the end of the input: Ctrl-D.
var ErrCancelled = errors.New("cancelled")

// Line asks for a line of text. It returns [ErrCancelled] at the end of the input, and ctx's error if ctx ends.
func (t Terminal) Line(ctx context.Context, question string) (string, error) {
	answer, err := t.ask(ctx, question, nil, readLine)
	if errors.Is(err, ErrCancelled) {
		fmt.Fprintln(t.out) // the line of the question has no end
	}
	return answer, err
}

// Secret is Line with the echo off.
func (t Terminal) Secret(ctx context.Context, question string) (string, error) {
	answer, err := t.ask(ctx, question, hideEcho, readHidden)
	fmt.Fprintln(t.out) // the one that was typed did not show
	return answer, err
}

// ask reads an answer, after hide if that is set, and restores the terminal. When ctx ends, the read itself cannot be
// cancelled, and ends with the process.
func (t Terminal) ask(
	ctx context.Context, question string, hide func(*os.File) error, read func(*os.File) (string, error),
) (text string, err error) {
	fd := int(t.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, term.Restore(fd, before)) }()
	if hide != nil {
		if err := hide(t.in); err != nil {
			return "", err
		}
	}
	fmt.Fprint(t.out, question)
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := read(t.in)
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		if errors.Is(a.err, io.EOF) {
			return "", ErrCancelled
		}
		return a.text, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func readLine(in *os.File) (string, error) {
	line, err := bufio.NewReader(oneByte{in}).ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// oneByte reads a byte at a time, so that the next reader gets all that is behind the line.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) {
	if len(p) > 1 {
		p = p[:1]
	}
	return o.r.Read(p)
}
