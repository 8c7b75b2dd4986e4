package main

import "testing"

// The documented command has no paths of the machine that it ran on.
func TestCommand(t *testing.T) {
	args := []string{"-rows", "team-line", "-o", "/home/me/x.json", "-dir=/mnt", "--regsync", "/home/me/regsync", "-pairs", "5", "-strict"}
	if got, want := command(args), "go run . -rows team-line -pairs 5 -strict"; got != want {
		t.Errorf("%q, want %q", got, want)
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
