package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/internal/registrytest/golden"
)

var manDir = flag.String("man", "", "write the man pages to `DIR`, an absolute path, with the date of SOURCE_DATE_EPOCH")

// TestCommandDocs holds docs/cli.md to the commands and their help.
func TestCommandDocs(t *testing.T) {
	golden.Page(t, "../../docs/cli.md", commandReference(documentedRoot()))
}

// TestCommandDocsInChinese: the Chinese page, which is not generated, has a row for each command, flag of all commands and
// exit code, and links to the reference.
func TestCommandDocsInChinese(t *testing.T) {
	raw, err := os.ReadFile("../../docs/cli.zh-CN.md")
	if err != nil {
		t.Fatal(err)
	}
	root := documentedRoot()
	var want []string
	for _, cmd := range documented(root)[1:] {
		want = append(want, "](cli.md#"+strings.ReplaceAll(cmd.CommandPath(), " ", "-")+") |")
	}
	visitFlags(root.PersistentFlags(), func(names, _ string) { want = append(want, "\n| `"+names+"` |") })
	for _, code := range exitCodes() {
		want = append(want, "\n| "+strings.ReplaceAll(code[0], ", ", "、")+" |")
	}
	for _, part := range want {
		if strings.Count(string(raw), part) != 1 {
			t.Errorf("the page must have one %q", part)
		}
	}
}

// TestCommandDocsMan makes a man page of each command. With -man it writes them, for packages.
func TestCommandDocsMan(t *testing.T) {
	pages := map[string]string{}
	for _, cmd := range documented(documentedRoot()) {
		pages[manName(cmd)+".1"] = manPage(cmd, pageDate(t))
	}
	request := regexp.MustCompile(`(?m)^[.']\S*`)
	known := strings.Fields(".TH .nh .ad .SH .br .TP .B .BR .PP .RS .RE .nf .fi .UR .UE")
	for name, page := range pages {
		for _, section := range []string{".SH NAME\n", ".SH SYNOPSIS\n", ".SH DESCRIPTION\n", ".SH SEE ALSO\n"} {
			if strings.Count(page, section) != 1 {
				t.Errorf("%s: want one %q", name, section)
			}
		}
		for _, found := range request.FindAllString(page, -1) {
			if !slices.Contains(known, found) {
				t.Errorf("%s: a line begins with %q", name, found)
			}
		}
	}
	if *manDir == "" {
		return
	}
	if err := os.MkdirAll(*manDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(*manDir, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCommandDocsAreComplete: what the reference and the man pages are made of is there.
func TestCommandDocsAreComplete(t *testing.T) {
	for _, cmd := range documented(documentedRoot()) {
		topic := cmd.HasSubCommands() || cmd.IsAdditionalHelpTopicCommand() || isCompletion(cmd)
		if cmd.Short == "" || !topic && (cmd.Long == "" && cmd.Name() != "version" || cmd.Example == "") {
			t.Errorf("%s has not all of a short text, a long text and an example", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no description", cmd.CommandPath(), f.Name)
			}
		})
	}
}

// isCompletion reports whether a command is one of those for shells, whose texts are cobra's.
func isCompletion(cmd *cobra.Command) bool {
	return cmd.Name() == "completion" || cmd.HasParent() && cmd.Parent().Name() == "completion"
}

// documentedRoot is regsync as a user sees it who has a home directory and has set no variable.
func documentedRoot() *cobra.Command {
	environment := Environment{LookupEnv: func(name string) (string, bool) { return "", false }}
	root := newRootCommand(newApp(environment))
	root.InitDefaultCompletionCmd()
	for _, cmd := range documented(root) {
		cmd.InitDefaultHelpFlag()
	}
	root.InitDefaultVersionFlag()
	return root
}

// documented returns a command and all below it, but those that are hidden, and help.
func documented(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, child := range cmd.Commands() {
		if !child.Hidden && child.Name() != "help" {
			all = append(all, documented(child)...)
		}
	}
	return all
}

func commandReference(root *cobra.Command) string {
	parts := []string{
		"# Commands",
		"[中文](cli.zh-CN.md)",
		"This page has the help of every command, as `regsync COMMAND --help` prints it. It is generated:\n" +
			"`go test ./cmd/regsync -run TestCommandDocs -update`.",
		markdown(root.Long),
	}
	for _, group := range groups(root) {
		table := fmt.Sprintf("| %s | |\n|---|---|", group.title)
		for _, cmd := range group.commands {
			path := cmd.CommandPath()
			table += fmt.Sprintf("\n| [`%s`](#%s) | %s |", path, strings.ReplaceAll(path, " ", "-"), cell(cmd.Short))
		}
		parts = append(parts, table)
	}
	parts = append(parts, "## Flags of all commands", flagTable(root.PersistentFlags()),
		"Each flag, also of a single command, can be set by an environment variable: `--env-file` by `REGSYNC_ENV_FILE`.",
		"## Exit codes", exitCodeTable())
	for _, cmd := range documented(root)[1:] {
		parts = append(parts, "## "+cmd.CommandPath(), markdown(cmp.Or(cmd.Long, cmd.Short+".")))
		if cmd.Runnable() {
			parts = append(parts, "```text\n"+cmd.UseLine()+"\n```")
		}
		if cmd.Example != "" {
			parts = append(parts, "```console\n"+examples(cmd)+"\n```")
		}
		if table := flagTable(cmd.LocalNonPersistentFlags()); table != "" {
			parts = append(parts, table)
		}
	}
	return portable(strings.Join(parts, "\n\n") + "\n")
}

type group struct {
	title    string
	commands []*cobra.Command
}

// groups returns the documented commands in the groups of the help.
func groups(root *cobra.Command) []group {
	var all []group
	for _, g := range root.Groups() {
		all = append(all, group{title: strings.TrimSuffix(g.Title, ":")})
	}
	all = append(all, group{title: "commands"})
	for _, cmd := range documented(root)[1:] {
		top := cmd
		for top.Parent() != root {
			top = top.Parent()
		}
		at := len(all) - 1
		for i, g := range root.Groups() {
			if g.ID == top.GroupID {
				at = i
			}
		}
		all[at].commands = append(all[at].commands, cmd)
	}
	if len(all) > 1 {
		all[len(all)-1].title = "Other commands"
	}
	return slices.DeleteFunc(all, func(g group) bool { return len(g.commands) == 0 })
}

// flagTable is empty if there are no flags.
func flagTable(flags *pflag.FlagSet) string {
	table := ""
	visitFlags(flags, func(names, usage string) { table += fmt.Sprintf("\n| `%s` | %s |", cell(names), cell(usage)) })
	if table == "" {
		return ""
	}
	return "| flag | |\n|---|---|" + table
}

// visitFlags calls visit with the names of each flag and of its value, and with what it does.
func visitFlags(flags *pflag.FlagSet, visit func(names, usage string)) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		names := "--" + f.Name
		if f.Shorthand != "" {
			names = "-" + f.Shorthand + ", " + names
		}
		value, usage := pflag.UnquoteUsage(f)
		if value != "" {
			names += " " + value
		}
		if !slices.Contains([]string{"", "false", "[]", "0", "0s"}, f.DefValue) {
			usage += " (default " + f.DefValue + ")"
		}
		visit(names, usage)
	})
}

// exitCodes returns the codes of the help, each with what it means.
func exitCodes() [][2]string {
	var all [][2]string
	for line := range strings.Lines(exitCodesHelp) {
		if code, means, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			all = append(all, [2]string{code, strings.TrimSpace(means)})
		}
	}
	return all
}

func exitCodeTable() string {
	table := "| code | |\n|---|---|"
	for _, code := range exitCodes() {
		table += fmt.Sprintf("\n| %s | %s |", code[0], cell(code[1]))
	}
	return table
}

// markdown is a text of the help as Markdown: indented lines are code.
func markdown(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line = strings.TrimPrefix(line, "\t"); line != lines[i] || strings.HasPrefix(line, "  ") {
			lines[i] = "    " + strings.TrimSpace(line)
		} else {
			lines[i] = strings.NewReplacer("<", "&lt;", "*", `\*`, "_", `\_`).Replace(strings.TrimLeft(line, "# "))
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// cell is a text in a table.
func cell(text string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text) }

// examples are the lines of a command's example, with a prompt, and without the margin of the help.
func examples(cmd *cobra.Command) string {
	lines := strings.Split(cmd.Example, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "$ " + strings.TrimSpace(line)
		}
	}
	return strings.Join(lines, "\n")
}

// portable replaces the directories of this machine.
func portable(text string) string {
	dirs := map[string]string{xdg.StateHome: "~/.local/state", xdg.DataHome: "~/.local/share", xdg.ConfigHome: "~/.config"}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		text = strings.ReplaceAll(text, dir, dirs[dir])
	}
	return text
}

// pageDate is SOURCE_DATE_EPOCH, or no date.
func pageDate(t *testing.T) string {
	t.Helper()
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" || *manDir == "" {
		return ""
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		t.Fatal("SOURCE_DATE_EPOCH: ", err)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly)
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is the page of a command in section 1; see man-pages(7) and groff_man(7).
func manPage(cmd *cobra.Command, date string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %q 1 %q regsync \"regsync manual\"\n", strings.ToUpper(manName(cmd)), date)
	b.WriteString(".nh\n.ad l\n.SH NAME\n" + roff(manName(cmd)+" - "+cmd.Short) + "\n")
	b.WriteString(".SH SYNOPSIS\n" + roff(cmd.UseLine()) + "\n")
	if cmd.HasSubCommands() {
		b.WriteString(".br\n" + roff(cmd.CommandPath()+" COMMAND [ARG...]") + "\n")
	}
	b.WriteString(".SH DESCRIPTION\n" + roffText(cmp.Or(cmd.Long, cmd.Short+".")))
	if children := slices.DeleteFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Hidden }); len(children) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, child := range children {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(manName(child)), roff(child.Short))
		}
	}
	options := ""
	visitFlags(cmd.LocalFlags(), func(names, usage string) {
		options += ".TP\n.B " + roff(names) + "\n" + roff(usage) + "\n"
	})
	if options != "" {
		b.WriteString(".SH OPTIONS\n" + options)
	}
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n.nf\n" + roff(examples(cmd)) + "\n.fi\n")
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1):\nflags of all commands, environment variables, exit codes\n", roff(manName(cmd.Root())))
		return portable(b.String())
	}
	b.WriteString(".SH ENVIRONMENT\nEach flag, also of a single command, can be set by an environment variable:\n" +
		roff("--env-file by REGSYNC_ENV_FILE.") + "\n.SH EXIT STATUS\n")
	for _, code := range exitCodes() {
		b.WriteString(".TP\n.B " + roff(code[0]) + "\n" + roff(code[1]) + "\n")
	}
	b.WriteString(".SH SEE ALSO\n.UR https://github.com/regsync/regsync/tree/main/docs\nThe documentation\n.UE\n")
	return portable(b.String())
}

// roffText is a text of the help: blank lines end paragraphs, and indented lines are not filled.
func roffText(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "":
			b.WriteString(".PP\n")
		case strings.HasPrefix(line, "  "), strings.HasPrefix(line, "\t"):
			b.WriteString(".RS\n.nf\n" + roff(strings.TrimSpace(line)) + "\n.fi\n.RE\n")
		default:
			b.WriteString(roff(line) + "\n")
		}
	}
	return b.String()
}

// roff is literal text; what begins a line is no request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
