package main

import "testing"

// TestEnvFileValues: quotes are dropped, and what is in them is a password to the letter. A
// comment behind a quoted password was once taken for a part of it.
func TestEnvFileValues(t *testing.T) {
	for line, want := range map[string]string{
		`PW=plain`:               `plain`,
		`PW = spaced `:           `spaced`,
		`export PW=exported`:     `exported`,
		`PW='s3cr3t'`:            `s3cr3t`,
		`PW='s3cr3t' # of robot`: `s3cr3t`,
		`PW="s3 # cr3t"`:         `s3 # cr3t`,
		`PW=s3#cr3t`:             `s3#cr3t`,
		`PW=s3 # cr3t`:           `s3 # cr3t`,
		`PW="a"b"`:               `a"b`,
		`PW="open`:               `"open`,
		`PW="`:                   `"`,
		`PW=`:                    ``,
	} {
		values, err := parseEnvFile("secrets.env", []byte("# a comment\n\n"+line+"\n"))
		if err != nil || len(values) != 1 || values["PW"] != want {
			t.Errorf("%s: got %q, %v, want %q", line, values, err, want)
		}
	}
}
