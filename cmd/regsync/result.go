package main

import "github.com/regsync/regsync/pkg/report"

// printResult prints the result of a command: as a document with --output json, otherwise as lines.
func printResult(a *app, document any, lines ...string) error {
	if a.flags.json() {
		return a.printJSON(document)
	}
	return printLines(a, lines)
}

func printLines(a *app, lines []string) error {
	for _, line := range lines {
		if err := a.printLine("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// imagesDocument is what --output json prints about several images; err is why the command fails, if it does.
func imagesDocument[T any](a *app, schema string, images []T, err error) any {
	return struct {
		Schema string          `json:"schema"`
		Images []T             `json:"images"`
		Error  *report.Problem `json:"error,omitempty"`
	}{schema, images, a.problemOf(err)}
}
