package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/regsync/regsync/internal/registrytest"
)

// forgers are the attacks with text that a terminal obeys, or that looks like lines of regsync.
func forgers() []registrytest.Attack {
	return slices.DeleteFunc(registrytest.Attacks(), func(a registrytest.Attack) bool {
		return !strings.HasPrefix(a.Name, "text-") && a.Name != "tags-names" && a.Name != "manifest-media-type"
	})
}

// Whatever a registry or an image says, no command prints a line that they wrote, or anything that a terminal obeys, in
// any format. Once, an index whose platform had a line break made pull print "regsync: hint: …" in the image's words.
func TestForgedOutput(t *testing.T) {
	attacks := forgers()
	if len(attacks) < 8 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	for _, a := range attacks {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			server := registrytest.New(t)
			a.Begin(server)
			ref := server.Host() + "/team/app:1"
			dir := t.TempDir()
			config := filepath.Join(dir, "mirror.yaml")
			text := "version: 1\nsync:\n  - {from: " + strconv.Quote(server.Host()+"/team/app") + ", to: oci:mirror, platforms: [linux/riscv64, linux/amd64]}\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"pull", ref},
				{"pull", "-v", "--debug", "--platform", "linux/riscv64", ref},
				{"pull", "--progress", "json", ref},
				{"pull", "--all-platforms", "-o", "json", ref},
				{"images", "--digests", "--details"},
				{"images", "-o", "json"},
				{"inspect", ref},
				{"inspect", "-o", "json", ref},
				{"history", ref},
				{"history", "--no-trunc", ref},
				{"history", "-o", "json", ref},
				{"inspect", "--remote", ref},
				{"inspect", "--remote", "--platform", "linux/amd64", "-o", "json", ref},
				{"inspect", "--remote", "--platform", "linux/riscv64", ref},
				{"digest", "--debug", ref},
				{"tags", server.Host() + "/team/app"},
				{"tags", "-o", "json", server.Host() + "/team/app"},
				{"repos", server.Host()},
				{"copy", "--progress", "plain", "-v", "--debug", ref, "oci:copy:1"},
				{"copy", "--progress", "json", "-o", "json", "--platform", "linux/riscv64", ref, "oci:copy:1"},
				{"copy", "--dry-run", "--platform", "linux/amd64,linux/riscv64", ref, "oci:other:1"},
				{"inspect", "--remote", "oci:copy:1"},
				{"tags", "oci:copy"},
				{"sync", "-c", config, "--progress", "plain", "-v", "--debug", "--report", "report.json", "--report", "report.xml"},
				{"sync", "-c", config, "-o", "json"},
				{"diff", "-c", config},
				{"explain", "-c", config, ref},
				{"config", "check", "--online", "-c", config},
			} {
				cmd := exec.CommandContext(t.Context(), "regsync", args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "HOME="+dir, "COLUMNS=80")
				out, _ := cmd.CombinedOutput()
				requireUnforged(t, args, out)
				if slices.Contains(args, "json") && !slices.Contains(args, "--progress") {
					requireDocuments(t, args, out)
				}
			}
			for _, report := range []string{"report.json", "report.xml"} {
				raw, err := os.ReadFile(filepath.Join(dir, report))
				if err != nil {
					t.Error(err)
				}
				requireUnforged(t, []string{report}, raw)
			}
		})
	}
}

// requireUnforged checks that each line is one of regsync, and that a terminal prints all of it.
func requireUnforged(t *testing.T, args []string, out []byte) {
	t.Helper()
	bad := func(r rune) bool { return r != '\n' && (r == utf8.RuneError || !strconv.IsPrint(r)) }
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "regsync: hint: log in again") || strings.ContainsFunc(line, bad) {
			t.Errorf("regsync %s printed %.300q", strings.Join(args, " "), line)
		}
	}
	if strings.Contains(string(out), "internal error") {
		t.Errorf("regsync %s: %.1000s", strings.Join(args, " "), out)
	}
}

// requireDocuments checks that what was escaped is still JSON. Errors precede or follow the document.
func requireDocuments(t *testing.T, args []string, out []byte) {
	t.Helper()
	text := string(out)
	begin, end := strings.Index(text, "{"), strings.LastIndex(text, "\n}")
	if begin < 0 || end < 0 {
		return // it failed before there was a document
	}
	if !json.Valid([]byte(text[begin : end+2])) {
		t.Errorf("regsync %s printed no JSON: %.1000s", strings.Join(args, " "), text)
	}
}
