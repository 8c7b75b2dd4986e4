package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// catchHangUps catches SIGHUP until the process ends, so that it can reload the configuration. The channel is nil at a
// terminal, where SIGHUP means that the terminal is closed, and if the configuration comes from a pipe. Under nohup,
// SIGHUP stays ignored, and the channel receives nothing.
func (a *app) catchHangUps() <-chan os.Signal {
	if a.notify == nil || a.atTerminal() {
		return nil
	}
	for _, file := range a.flags.config {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return nil
		}
	}
	hangUps := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		a.notify(hangUps, syscall.SIGHUP)
	}
	return hangUps
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
	a.warn("received SIGHUP; reloaded the limits from the configuration")
}
