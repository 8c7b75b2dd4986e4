package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
)

// app is one run of regsync: what it was given, and the parts it is put together from.
// The parts are made when they are first asked for.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            lookupEnv
	flags          globals

	closers []io.Closer
}

// close ends what the run has opened.
func (a *app) close() error {
	var errs []error
	for _, c := range a.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// logger writes to stderr under --verbose, and nothing otherwise.
func (a *app) logger() *slog.Logger {
	if !a.flags.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// printJSON writes the one document of --output json.
func (a *app) printJSON(document any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}
