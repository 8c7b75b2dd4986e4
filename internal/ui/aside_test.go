package ui_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/ui"
)

func TestAsideWritesEvents(t *testing.T) {
	var out strings.Builder
	aside := ui.Aside{Out: &out, Hints: func(error) string { return "do this" }}
	aside.Warning("careful\x1b[2J")
	aside.Error(errors.New("it\nfailed"))
	if _, err := aside.Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	type event struct {
		Event, Schema, Time, Text string
		Error                     struct{ Message, Hint string }
	}
	var got []event
	for line := range strings.Lines(out.String()) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Schema != ui.EventSchema || e.Time == "" {
			t.Errorf("schema %q, time %q", e.Schema, e.Time)
		}
		got = append(got, e)
	}
	if len(got) != 4 {
		t.Fatalf("got %d lines, want 4:\n%s", len(got), out.String())
	}
	if e := got[0]; e.Event != "warning" || e.Text != ui.Clean("careful\x1b[2J") {
		t.Errorf("got %+v", e)
	}
	if e := got[1]; e.Event != "error" || e.Error.Message != ui.Clean("it\nfailed") || e.Error.Hint != "do this" {
		t.Errorf("got %+v", e)
	}
	if e := got[3]; e.Event != "log" || e.Text != "two" {
		t.Errorf("got %+v", e)
	}
}
