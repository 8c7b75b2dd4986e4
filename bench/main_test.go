package main

import "testing"

// The documented command has no paths of the machine that it ran on.
func TestCommand(t *testing.T) {
	o, err := parse([]string{"-tools", "regsync", "-o", "/home/me/x.json", "-dir=/mnt", "--regsync", "/home/me/regsync", "-pairs", "5", "-strict"})
	if want := "go run . -pairs=5 -strict=true -tools=regsync"; err != nil || o.command != want {
		t.Errorf("%q, want %q: %v", o.command, want, err)
	}
}

func TestChoose(t *testing.T) {
	rows, err := choose("corpus-slow,team-line")
	if err != nil || len(rows) != 2 || rows[0].Name != "team-line" || rows[1].Name != "corpus-slow" {
		t.Errorf("%+v, %v", rows, err)
	}
	if _, err := choose("team-line,none"); err == nil {
		t.Error("a row that does not exist was found")
	}
}
