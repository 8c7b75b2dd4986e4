package main

import (
	"context"
	"errors"
	"os"
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
	_, held := errors.AsType[*heldError](err)
	switch {
	case err == nil:
		defer release(lock)
	case held || ctx.Err() != nil:
		return err
	default:
		a.warn("nothing keeps another run of this configuration from beginning: %v", err)
	}
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

// release gives the lock back. Nobody is told of a run that has ended, so what is said of
// its holder goes first.
func release(lock *flock.Flock) {
	_ = os.Truncate(lock.Path(), 0) // is only for messages
	_ = lock.Unlock()               // the process's end does it, too
}

// await waits for the end of the other run. The error is a [heldError], or ctx's cause.
func (l *runLock) await(ctx context.Context, a *app, lock *flock.Flock) error {
	if l.skip || l.wait <= 0 {
		return a.heldNow(lock)
	}
	a.warn("%v: waiting for its end, at most %v", a.heldNow(lock), l.wait)
	waiting, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	_, err := lock.TryLockContext(waiting, lockPoll)
	switch {
	case lock.Locked():
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case waiting.Err() != nil:
		return a.heldNow(lock) // maybe by a third run, which was faster
	}
	return err
}

// heldNow says who has the lock.
func (a *app) heldNow(lock *flock.Flock) error {
	return &heldError{configuration: a.flags.config, by: readHolder(lock.Path())}
}
