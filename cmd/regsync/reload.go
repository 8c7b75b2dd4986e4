package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/term"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// reloadLimits reads the configuration again at each SIGHUP, and has the limiter keep to the limits in it, until stop
// is called. A configuration that is wrong changes nothing. At a terminal, SIGHUP says that the terminal has gone.
func (a *app) reloadLimits(ctx context.Context) (stop func()) {
	terminal, ok := a.stderr.(*os.File)
	if ok && term.IsTerminal(int(terminal.Fd())) || slices.Contains(a.flags.config, "-") {
		return func() {}
	}
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
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
		signal.Stop(hangUps)
		cancel()
		listening.Wait()
	}
}

func (a *app) readLimits() {
	settings, err := config.Load(a.flags.config, config.Options{Env: a.env})
	if err != nil {
		a.insist("received SIGHUP; the limits stay as they are: %v", err)
		return
	}
	a.limits.Store(newLimitsOf(settings))
	a.limiter.Reload()
	a.warn("received SIGHUP; read the limits in the configuration again")
}
