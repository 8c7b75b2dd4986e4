package main

import (
	"context"
	"errors"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/pflag"
)

// lockPoll is how often a lock that another run holds is tried.
const lockPoll = 200 * time.Millisecond

// runLock keeps two runs of one configuration on a host from overlapping. The death of its
// holder frees it.
type runLock struct {
	skip bool
	wait time.Duration
}

func (l *runLock) bind(flags *pflag.FlagSet) {
	flags.BoolVar(&l.skip, "skip-if-running", false, "do nothing where another run of the same configuration is going on")
	flags.DurationVar(&l.wait, "lock-wait", time.Hour, "how long to wait for another run of the same configuration")
}

// exclusively does run while no other process does it for the same configuration. Where no
// lock can be made, it does so anyway: runs that may overlap are better than none.
func (l *runLock) exclusively(ctx context.Context, a *app, run func() error) error {
	lock, err := a.runLock()
	if err == nil {
		err = l.take(ctx, a, lock)
	}
	held, isHeld := errors.AsType[*heldError](err)
	switch {
	case isHeld && l.skip:
		a.warn("%v: skipped", held)
		return nil
	case isHeld || ctx.Err() != nil:
		return err
	case err != nil:
		a.warn("nothing keeps another run of this configuration from beginning: %v", err)
		return run()
	}
	defer func() { _ = lock.Unlock() }() // the process's end does it, too
	return run()
}

// take takes the lock, and says in it who has it.
func (l *runLock) take(ctx context.Context, a *app, lock *flock.Flock) error {
	got, err := lock.TryLock()
	if err == nil && !got {
		err = l.await(ctx, a, lock)
	}
	if err == nil {
		thisProcess(time.Now()).write(lock.Path())
	}
	return err
}

// await waits for the end of the other run. The error is a [heldError], or ctx's cause.
func (l *runLock) await(ctx context.Context, a *app, lock *flock.Flock) error {
	held := &heldError{configuration: a.flags.config, by: readHolder(lock.Path())}
	if l.skip {
		return held
	}
	if l.wait > 0 {
		a.warn("%v: waiting for its end, at most %v", held, l.wait)
	}
	waiting, cancel := context.WithTimeoutCause(ctx, l.wait, held)
	defer cancel()
	if _, err := lock.TryLockContext(waiting, lockPoll); waiting.Err() == nil {
		return err
	}
	if lock.Locked() {
		return nil
	}
	return context.Cause(waiting)
}
