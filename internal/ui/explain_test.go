package ui

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/mirror"
	mirrorconfig "github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

func TestExplanation(t *testing.T) {
	parse := func(s string) reference.Reference {
		ref, err := reference.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	here, there := digest.FromString("here"), digest.FromString("there")
	at := mirrorconfig.Position{File: "m.yaml", Line: 3, Column: 9}
	image := parse("nginx:1.29")
	findings := []mirror.Finding{
		{
			Entry: "web\x1b[31m", Position: at, From: image.WithoutIdentifier(), Image: image, Selected: true, Rule: "included by `1.*`",
			Source: mirror.Holding{Digest: here}, Warnings: []warning.Warning{{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}}},
			Copies: []mirror.CopyFinding{
				{Reference: parse("a.example/nginx:1.29"), Image: here, Action: transfer.ActionAdd},
				{Reference: parse("b.example/nginx:1.29"), Image: here, Action: transfer.ActionMove, Holding: mirror.Holding{Digest: there}},
				{Reference: parse("c.example/nginx:1.29"), Image: here, Action: transfer.ActionUnchanged, Holding: mirror.Holding{Digest: here}},
				{Reference: parse("d.example/nginx:1.29"), Image: here, Action: transfer.ActionSkip, Rule: transfer.Rule{Kind: transfer.RuleNever}, Holding: mirror.Holding{Digest: there}},
				{Reference: parse("g.example/nginx:1.29"), Image: here, Action: transfer.ActionUnchanged, Rule: transfer.Rule{Kind: transfer.RuleCopied}, Holding: mirror.Holding{Digest: there}},
				{Reference: parse("e.example/nginx:1.29"), Holding: mirror.Holding{Err: errors.New("denied")}},
				{Reference: parse("f.example/nginx:1.29"), Image: here, Action: transfer.ActionAdd,
					First: &mirror.CollisionError{First: parse("httpd:2"), Entry: "other"}},
			},
		},
		{Entry: "all", Position: at, From: image.WithoutIdentifier(), Image: image.WithoutIdentifier(), Err: errors.New("401 Unauthorized")},
	}
	hints := func(err error) string {
		if err.Error() == "401 Unauthorized" {
			return "log in"
		}
		return ""
	}
	var text bytes.Buffer
	if err := NewExplanation("nginx:1.29", findings, hints).WriteText(&text, "m.yaml"); err != nil {
		t.Fatal(err)
	}
	before, after := shortDigest(there), shortDigest(here)
	want := strings.Join([]string{
		"web (nginx at m.yaml:3:9):",
		"  nginx:1.29 is taken: included by `1.*`",
		"  source       nginx:1.29            " + after,
		"  destination  a.example/nginx:1.29  nothing there: a run adds " + after,
		"  destination  b.example/nginx:1.29  " + before + ": a run moves it to " + after,
		"  destination  c.example/nginx:1.29  " + after + ": as it is to be",
		"  destination  d.example/nginx:1.29  " + before + ": left as it is: already exists, and overwrite is never",
		"  destination  g.example/nginx:1.29  " + before + ": it is immutable and was copied before, so a run checks it only with --recheck",
		"  destination  e.example/nginx:1.29  denied",
		"  destination  f.example/nginx:1.29  nothing there: httpd:2 is written there, by the entry other",
		"  warning: the source has no linux/arm64, only linux/amd64",
		"all (nginx at m.yaml:3:9):",
		"  not known: 401 Unauthorized",
		"  hint: log in",
		"",
	}, "\n")
	if got := strings.ReplaceAll(text.String(), Clean("web\x1b[31m"), "web"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	text.Reset()
	if err := NewExplanation("x:1", nil, nil).WriteText(&text, "m.yaml"); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); got != "x:1 is not copied: no entry of m.yaml names it\n" {
		t.Errorf("got %q", got)
	}
}
