package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// samplePages show what commands print, with the registries $A and $B under other names.
var samplePages = []string{"README.md", "README.zh-CN.md", "docs/getting-started.md", "docs/getting-started.zh-CN.md"}

// wantSample compares the output of the last command with what the pages show below the Nth such command, if anything.
func wantSample(ts *testscript.TestScript, neg bool, args []string) {
	nth, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: sample N COMMAND…")
	}
	command := strings.Join(args[1:], " ")
	names := strings.NewReplacer(ts.Getenv("A"), "docker.io", ts.Getenv("B"), "registry.cn-hangzhou.aliyuncs.com")
	got := withoutFigures(names.Replace(ts.ReadFile("stdout")))
	found := 0
	for _, page := range samplePages {
		raw, err := os.ReadFile("../../" + page)
		ts.Check(err)
		want := sampleBelow(string(raw), command, nth)
		if want == "" {
			continue
		}
		found++
		if withoutFigures(want) != got {
			ts.Fatalf("%s shows below %q:\n%s\nregsync prints:\n%s", page, command, want, got)
		}
	}
	if found < 2 {
		ts.Fatalf("%d pages show %q, want the English and the Chinese one", found, command)
	}
}

// sampleBelow returns the lines of output below the Nth prompt with the command.
func sampleBelow(page, command string, nth int) string {
	prompt := regexp.MustCompile(`(?m)^\$ ` + regexp.QuoteMeta(command) + `(?: +#.*)?\n`)
	all := prompt.FindAllStringIndex(page, nth)
	if len(all) < nth {
		return ""
	}
	text := ""
	for line := range strings.Lines(page[all[nth-1][1]:]) {
		if line == "\n" || strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "```") {
			break
		}
		text += line
	}
	return text
}

// withoutFigures replaces what differs between runs (digests, sizes, durations, numbers of blobs) and between registries (the
// hosts that served requests, and long names of Docker Hub).
func withoutFigures(text string) string {
	text = regexp.MustCompile(`(?m)^requests: .*\n`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`sha256:[0-9a-f]{64}`).ReplaceAllString(text, "sha256:DIGEST")
	text = regexp.MustCompile(`\b[0-9.]+[kMG]?B\b`).ReplaceAllString(text, "SIZE")
	text = regexp.MustCompile(`\b[0-9.]+(s| blobs)\b`).ReplaceAllString(text, "N$1")
	text = regexp.MustCompile(` {2,}`).ReplaceAllString(text, "  ")
	return strings.ReplaceAll(text, "docker.io/library/", "")
}
