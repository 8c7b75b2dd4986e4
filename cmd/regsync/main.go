// Command regsync copies container images between registries, by hand or as a mirror.
//
// main.go turns signals into the end of a context and errors into an exit code, root.go
// has what all commands share, app.go puts the parts together, and each command is one
// file that bears its name.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
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
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv, ending: newEnding(cancel)}
	log.SetFlags(0)
	log.SetOutput(remarks{a})
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // else it runs under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go a.ending.obey(signals)
	return a.run(ctx, os.Args[1:])
}

// run executes one command line and returns the exit code. It is all of regsync but the
// process.
func (a *app) run(ctx context.Context, args []string) (code int) {
	defer func() {
		if reason := recover(); reason != nil {
			reportPanic(a.stderr, reason)
			code = exitFailed
		}
	}()
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := errors.Join(root.ExecuteContext(ctx), a.close())
	if signal, ok := errors.AsType[signalError](a.ending.err()); ok {
		err = interrupted(err, signal)
	}
	a.reportError(err)
	return exitCode(err)
}
