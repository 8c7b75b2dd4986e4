package ui

import (
	"bytes"
	"errors"
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
	if err := NewExplanation("nginx:1.29", &mirror.Explanation{Findings: findings}, hints).WriteText(&text, "m.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := NewExplanation("x:1", &mirror.Explanation{}, nil).WriteText(&text, "m.yaml"); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "explain", text.String())
}
