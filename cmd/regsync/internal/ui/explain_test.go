package ui

import (
	"bytes"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest/golden"
	mirrorconfig "github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/report"
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
	findings := []report.Finding{
		{
			Entry: "web\x1b[31m", At: at.String(), From: image.WithoutIdentifier(), Image: image, Selected: true, Rule: "included by `1.*`",
			Source: report.Holding{Digest: here}, Warnings: report.Options{Text: WarningText}.Warnings([]warning.Warning{{Kind: warning.PlatformsMissing, Missing: []string{"linux/arm64"}, Offered: []string{"linux/amd64"}}}),
			Copies: []report.CopyFinding{
				{Reference: parse("a.example/nginx:1.29"), Image: here, Action: transfer.ActionAdd},
				{Reference: parse("b.example/nginx:1.29"), Image: here, Action: transfer.ActionMove, Holding: report.Holding{Digest: there}},
				{Reference: parse("c.example/nginx:1.29"), Image: here, Action: transfer.ActionUnchanged, Holding: report.Holding{Digest: here}},
				{Reference: parse("d.example/nginx:1.29"), Image: here, Action: transfer.ActionSkip, Rule: &report.Rule{Kind: transfer.RuleNever}, Holding: report.Holding{Digest: there}},
				{Reference: parse("g.example/nginx:1.29"), Image: here, Action: transfer.ActionUnchanged, Rule: &report.Rule{Kind: transfer.RuleCopied}, Holding: report.Holding{Digest: there}},
				{Reference: parse("e.example/nginx:1.29"), Holding: report.Holding{Err: errors.New("denied")}},
				{Reference: parse("f.example/nginx:1.29"), Image: here, Action: transfer.ActionAdd,
					First: &report.Writer{Source: parse("httpd:2"), Entry: "other"}},
			},
		},
		{Entry: "all", At: at.String(), From: image.WithoutIdentifier(), Image: image.WithoutIdentifier(), Err: errors.New("401 Unauthorized")},
	}
	hints := func(err error) string {
		if err.Error() == "401 Unauthorized" {
			return "log in"
		}
		return ""
	}
	var text bytes.Buffer
	found := &report.Explanation{Ref: image, Findings: findings}
	found.Describe(hints)
	for _, e := range []*report.Explanation{found, {Ref: parse("x:1")}} {
		if err := WriteExplanation(&text, e, "m.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	golden.File(t, "explain", text.String())
}
