package main

import (
	"context"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// catchHangUps returns the channel of SIGHUP, from now until the process ends, if it means that the configuration is to
// be read again. At a terminal, it means that the terminal has gone; and a configuration from a pipe cannot be read
// again. Then the channel is nil.
func (a *app) catchHangUps() <-chan os.Signal {
	if a.atTerminal() {
		return nil
	}
	for _, file := range a.flags.config {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return nil
		}
	}
	return a.ending.reloadOnHangUp()
}

// atTerminal reports whether regsync reads from a terminal or writes to one.
func (a *app) atTerminal() bool {
	for _, stream := range []any{a.stdin, a.stdout, a.stderr} {
		if file, ok := stream.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			return true
		}
	}
	return false
}

// reloadLimits reloads the limits from the configuration at each signal, until stop is called. A configuration that is
// wrong changes nothing.
func (a *app) reloadLimits(ctx context.Context, hangUps <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangUps:
				a.readLimits()
			}
		}
	})
	return func() {
		cancel()
		listening.Wait()
	}
}

func (a *app) readLimits() {
	settings, err := config.Load(a.flags.config, config.Options{Env: a.env})
	if err != nil {
		a.insist("received SIGHUP; the limits are not changed: %v", err)
		return
	}
	a.limits.Store(newRegistryLimits(settings))
	a.limiter.Reload()
	a.warn("received SIGHUP; reloaded the limits from the configuration, and nothing else")
}
