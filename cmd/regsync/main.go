// Command regsync copies container images between registries, by hand or as a mirror.
//
// main.go turns signals into the end of a context and errors into an exit code, root.go
// has what all commands share, flags.go the errors of flags, help.go the help, and app.go puts the parts together. copy.go has the commands
// copy, pull and push, images.go and image.go those of the local store, registry.go those that list tags and
// repositories or delete them, and config.go those of configurations; each other command is the
// file of its name.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
)

func main() { os.Exit(runMain()) }

// runMain runs regsync with what the process was given.
func runMain() int {
	if os.Getenv("GOGC") == "" {
		// More often than by default: garbage is on top of what the bounds of docs/security.md allow.
		debug.SetGCPercent(40)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	a := newApp(Environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv, Ending: signals.New(cancel)})
	log.SetFlags(0)
	log.SetOutput(remarks{&a.output})
	caught := make(chan os.Signal, 3)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // else it runs under nohup
		signal.Notify(caught, syscall.SIGHUP)
	}
	go a.Ending.Obey(caught)
	return run(ctx, a, os.Args[1:])
}

// run executes one command line and returns the exit code. It is all of regsync but the
// process.
func run(ctx context.Context, a *app, args []string) (code int) {
	defer func() {
		if reason := recover(); reason != nil {
			reportPanic(a.Stderr, reason)
			code = exitFailed
		}
	}()
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	err = errors.Join(err, a.close())
	if signal, ok := errors.AsType[signals.Error](a.Ending.Err()); ok {
		err = interrupted(err, signal)
	}
	err = errors.Join(err, printFailure(a, cmd, err))
	a.warnUnusedHosts(err)
	a.printError(err)
	return exitCode(err)
}
