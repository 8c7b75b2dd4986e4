package main

import (
	"os"
	"regexp"
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
	files := append([]string{"README.md", "README.zh-CN.md", "docs/cron.md", "docs/cron.zh-CN.md", "docs/configuration.md"}, cronFiles...)
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
		if arg != "…" && arg != "..." {
			flags = append(flags, arg)
		}
	}
	if err := cmd.ParseFlags(flags); err != nil {
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
