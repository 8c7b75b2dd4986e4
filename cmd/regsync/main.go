// Command regsync copies container images between registries, by hand or as a mirror.
//
// main.go turns signals into the end of a context and errors into an exit code, root.go
// has what all commands share, app.go puts the parts together, and each command is one
// file that bears its name.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(runMain()) }

// runMain runs regsync with what the process was given.
func runMain() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go endOnSignal(signals, cancel)
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
}

// endOnSignal ends the run at the first signal, and the process at the second.
func endOnSignal(signals <-chan os.Signal, cancel context.CancelCauseFunc) {
	cancel(nextSignal(signals))
	os.Exit(nextSignal(signals).exitCode())
}

func nextSignal(signals <-chan os.Signal) signalError {
	number, _ := (<-signals).(syscall.Signal) // on every system that Go knows
	return signalError{number}
}

// run executes one command line and returns the exit code. It is all of regsync but the
// process: env looks environment variables up.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env lookupEnv) (code int) {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	defer func() {
		if reason := recover(); reason != nil {
			reportPanic(stderr, reason)
			code = exitFailed
		}
	}()
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := errors.Join(root.ExecuteContext(ctx), a.close())
	if signal, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		err = interrupted(err, signal)
	}
	a.reportError(err)
	return exitCode(err)
}
