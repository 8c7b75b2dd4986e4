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

// check refuses what cannot be meant.
func (l *runLock) check() error {
	if l.wait < 0 {
		return usagef("--lock-wait: %v is less than nothing; 0 waits for no other run", l.wait)
	}
	return nil
}

// errWaited is the end of the time for waiting.
var errWaited = errors.New("the other run has not ended")

// exclusively does run while no other process does it for the same configuration. Where no
// lock can be had, it does so anyway: runs that may overlap are better than none.
func (l *runLock) exclusively(ctx context.Context, a *app, run func() error) error {
	locks, trouble := a.runLocks()
	defer locks.release()
	waiting, cancel := context.WithTimeoutCause(ctx, l.wait, errWaited)
	defer cancel()
	taken := 0
	for _, lock := range locks.all {
		err := l.take(waiting, a, locks, lock)
		_, held := errors.AsType[*heldError](err)
		switch {
		case err == nil:
			taken++
		case held || ctx.Err() != nil:
			return err
		default: // not every file system has locks
			a.logger().Debug("a file cannot be locked", "file", lock.Path(), "error", err)
			trouble = errors.Join(trouble, err)
		}
	}
	if taken == 0 {
		a.warn("nothing keeps another run of this configuration from beginning: %v", trouble)
	}
	return run()
}

// take takes one of the locks.
func (l *runLock) take(waiting context.Context, a *app, locks *locks, lock *flock.Flock) error {
	got, err := lock.TryLock()
	if err == nil && !got {
		err = l.await(waiting, a, locks, lock)
	}
	if err == nil {
		locks.note(lock)
	}
	return err
}

// await waits for the end of the other run. The error is a [heldError], or the cause of the
// end of waiting.
func (l *runLock) await(waiting context.Context, a *app, locks *locks, lock *flock.Flock) error {
	if l.skip || l.wait == 0 {
		return a.heldNow(locks, lock)
	}
	a.warn("%v: waiting for its end, at most %v", a.heldNow(locks, lock), l.wait)
	_, err := lock.TryLockContext(waiting, lockPoll)
	switch {
	case lock.Locked():
		return nil
	case errors.Is(context.Cause(waiting), errWaited):
		return a.heldNow(locks, lock) // maybe by a third run, which was faster
	case waiting.Err() != nil:
		return context.Cause(waiting)
	}
	return err
}

// heldNow says who has a lock.
func (a *app) heldNow(locks *locks, lock *flock.Flock) error {
	return &heldError{configuration: a.flags.config, by: locks.holder(lock)}
}
