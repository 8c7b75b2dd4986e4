package ui

import (
	"bytes"
	"io"
	"time"
)

// Aside writes lines of [EventSchema] where no progress is shown: before it and after it,
// and for commands that have none, so that a reader finds nothing else on stderr. Each has
// the schema in it.
type Aside struct {
	Out   io.Writer
	Hints Hints // may be nil
}

// Error tells why the command failed.
func (a Aside) Error(err error) {
	a.say(eventLine{Event: "error", Error: NewProblem(err, a.Hints)})
}

// Warning tells something that stops nothing.
func (a Aside) Warning(text string) { a.say(eventLine{Event: "warning", Text: Message(text)}) }

// Paused writes that a pause begins or is over.
func (a Aside) Paused(p Pause) { a.say(p.event(time.Now())) }

// Write passes lines of a log on.
func (a Aside) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		a.say(eventLine{Event: "log", Text: Clean(string(bytes.TrimRight(line, "\r\n")))})
	}
	return len(text), nil
}

var _ io.Writer = Aside{}

// say writes a line. Nobody can be told that stderr has gone away.
func (a Aside) say(line eventLine) {
	line.Schema = EventSchema
	_ = line.write(a.Out, time.Now())
}
