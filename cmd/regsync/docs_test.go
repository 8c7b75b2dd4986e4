package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// cronFiles are the examples that docs/cron.md shows.
var cronFiles = []string{
	"configs/cron/regsync", "configs/systemd/regsync.service", "configs/systemd/regsync.timer",
	"configs/kubernetes/cronjob.yaml",
}

// TestCronDocs: what the pages show are the files that the tests run.
func TestCronDocs(t *testing.T) {
	for _, page := range []string{"docs/cron.md", "docs/cron.zh-CN.md"} {
		text := fileText(t, page)
		for _, file := range cronFiles {
			if !strings.Contains(text, "\n"+fileText(t, file)+"```\n") {
				t.Errorf("%s does not show %s as it is", page, file)
			}
		}
	}
}

// commandLine is a regsync command in a page, a unit or a crontab.
var commandLine = regexp.MustCompile(`(?m)(?:^ {4}(?:\$ )?|^\$ |ExecStart=\S*/|\* regsync |` + "`" + `)(regsync [a-z][^` + "`" + `#\n]*)`)

// TestDocumentedCommands: the commands of the documentation are commands, with flags that they have.
func TestDocumentedCommands(t *testing.T) {
	files := append(userPages(t), cronFiles...)
	found := 0
	for _, file := range files {
		for _, match := range commandLine.FindAllStringSubmatch(fileText(t, file), -1) {
			found++
			checkCommand(t, file, strings.Fields(match[1])[1:])
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^ +- (--\S+)$`).FindAllStringSubmatch(fileText(t, "configs/kubernetes/cronjob.yaml"), -1) {
		found++
		checkCommand(t, "configs/kubernetes/cronjob.yaml", []string{"sync", match[1]})
	}
	if found < 40 {
		t.Errorf("found only %d commands", found)
	}
}

// userPages are the pages for users: those of the folder docs, without the reference, which is made from the commands.
func userPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/[a-z]*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"README.md", "README.zh-CN.md"}
	for _, page := range pages {
		if name := filepath.Base(page); name != "cli.md" {
			all = append(all, "docs/"+name)
		}
	}
	return all
}

func checkCommand(t *testing.T, file string, args []string) {
	t.Helper()
	root := newRootCommand(newApp(Environment{LookupEnv: func(string) (string, bool) { return "", false }}))
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil || cmd.Name() == "regsync" && !strings.HasPrefix(args[0], "-") {
		t.Errorf("%s: regsync %s: no such command: %v", file, strings.Join(args, " "), err)
		return
	}
	var flags []string
	for _, arg := range rest {
		if slices.Contains([]string{"|", ";", "<", ">", "&&", "||"}, arg) {
			break
		}
		if arg != "…" && arg != "..." {
			flags = append(flags, arg)
		}
	}
	// A text that only names a flag has no value for it.
	if err := cmd.ParseFlags(append(flags, "VALUE")); err != nil {
		t.Errorf("%s: regsync %s: %v", file, strings.Join(args, " "), err)
	}
}

func fileText(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
