package transfer

import (
	"context"
	"iter"
)

// Slots limits the streams between registries. A stream takes the slot of the side it
// reads and of the side it writes together, or waits holding none.
type Slots interface {
	// Acquire waits for a read slot at one registry and a write slot at another; an empty
	// name asks for none at that side. Of those that wait, a larger weight goes first.
	// The caller calls release once.
	Acquire(ctx context.Context, read, write string, weight int64) (release func(), err error)
}

// Options are how an engine works. The zero value works.
type Options struct {
	// Observe is told every state change, from many goroutines at once. It must not block.
	Observe func(Event)
	// Slots limits streams; nil does not.
	Slots Slots
	// Window is how many jobs are planned or under way at a time; 256 if zero.
	Window int
	// SpoolDir is where blobs for several destinations wait that do not fit in memory;
	// the system's temporary directory if empty.
	SpoolDir string
	// SpoolBytes bounds them; 8 GiB if zero.
	SpoolBytes int64
}

// Engine executes jobs. It serves one run.
type Engine struct {
	Counters Counters
	opener   Opener
	options  Options
}

// New makes an engine for one run.
func New(opener Opener, options Options) *Engine { return &Engine{opener: opener, options: options} }

// Plan plans jobs without executing them: it only reads. The error of a job does not end
// the sequence.
func (e *Engine) Plan(ctx context.Context, jobs iter.Seq[Job]) iter.Seq2[*Plan, error] {
	panic("unwritten")
}

// Run plans and executes jobs and hands each job's result to done, in the order in which
// they end, one at a time. It returns when all have ended or ctx has; then it returns
// ctx's error. One job's failure stops no other.
func (e *Engine) Run(ctx context.Context, jobs iter.Seq[Job], done func(*Result)) error {
	panic("unwritten")
}
