package main

import (
	"errors"
	"text/template"

	"github.com/spf13/pflag"

	"github.com/regsync/regsync/cmd/regsync/internal/format"
)

// formatFlag is --format of a command that prints items of type T.
type formatFlag[T any] struct{ text string }

// formatName is the name of the flag, and of the annotation of one that takes a table.
const formatName = "format"

func (f *formatFlag[T]) bind(flags *pflag.FlagSet) {
	bindFormat(flags, &f.text, "")
	if format.HasTable[T]() {
		flags.Lookup(formatName).Annotations = map[string][]string{formatName: {"table"}}
	}
}

// formatWords returns the values of --format that are no templates.
func formatWords(flag *pflag.Flag) []string {
	return append([]string{"json"}, flag.Annotations[formatName]...)
}

func bindFormat(flags *pflag.FlagSet, text *string, shorthand string) {
	flags.StringVarP(text, formatName, shorthand, "", "format output using a Go `TEMPLATE`, or json for one JSON object per line")
}

// parse returns what prints the items; nil if the command prints them as usual.
func (f *formatFlag[T]) parse(a *app) (*format.Format[T], error) {
	if f.text == "" {
		return nil, nil
	}
	if a.flags.json() {
		return nil, usagef("--format and --output json cannot be used together")
	}
	if f.text == "table" && format.HasTable[T]() {
		return nil, nil
	}
	printer, err := format.Parse[T](f.text)
	if is[*format.FieldError](err) || is[*format.UndefinedError](err) || errors.Is(err, format.ErrNoTable) {
		return nil, usagef("--format: %w", err)
	}
	if err != nil {
		return nil, &usageError{err}
	}
	return printer, nil
}

// printFormatted prints items as --format says.
func printFormatted[T any](a *app, printer *format.Format[T], items []T) error {
	err := printer.Write(a.Stdout, items)
	if _, failed := errors.AsType[template.ExecError](err); failed {
		return &usageError{err}
	}
	return err
}

// printTable prints items as a table with the columns of a template.
func printTable[T any](a *app, columns string, items []T) error {
	table, err := format.Parse[T]("table " + columns)
	if err != nil {
		return err
	}
	return table.Write(a.Stdout, items)
}
