package main

import (
	"os"
	"time"

	"github.com/gofrs/flock"
)

// locks are what a run holds, in the order in which they are taken. The one in the state's
// directory says who has it. Those on the files of the configuration hold whatever directory
// another run has for its state, and whoever runs it.
type locks struct {
	all   []*flock.Flock
	state *flock.Flock // the one of all that says who has it; nil where it cannot be made
}

// runLocks are the locks of the configuration on this host; nobody has them yet. The error
// says why those that are missing cannot be made.
func (a *app) runLocks() (*locks, error) {
	l := &locks{}
	state, err := a.stateLock()
	if err == nil {
		l.state = state
		l.all = append(l.all, state)
	}
	for _, file := range a.entryFiles() {
		l.all = append(l.all, flock.New(file, flock.SetFlag(os.O_RDONLY)))
	}
	return l, err
}

// note says who has the lock of the state now.
func (l *locks) note(taken *flock.Flock) {
	if taken == l.state {
		thisProcess(time.Now()).write(taken.Path())
	}
}

// holder is who has a lock, or the zero value where that cannot be known.
func (l *locks) holder(lock *flock.Flock) holder {
	if lock != l.state {
		return holder{}
	}
	return readHolder(lock.Path())
}

// release gives all back that were taken. Nobody is told of a run that has ended, so what is
// said of the holder goes first.
func (l *locks) release() {
	if l.state != nil && l.state.Locked() {
		_ = os.Truncate(l.state.Path(), 0) // is only for messages
	}
	for _, lock := range l.all {
		_ = lock.Unlock() // the process's end does it, too
	}
}
