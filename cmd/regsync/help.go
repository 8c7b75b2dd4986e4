package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

const variablesHelp = "Each flag can also be set by an environment variable, e.g. REGSYNC_ENV_FILE for --env-file."

// newHelpCommand replaces cobra's help command, which succeeds for commands that do not exist.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		Example: `  regsync help
  regsync help config check`,
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil }, // a wrong variable does not prevent help
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil {
				return &usageError{err}
			}
			if len(rest) > 0 {
				return unknownCommand(target, rest[0])
			}
			return target.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			target, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range target.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// writeHelp prints the help of a command. What all commands share is in the help of the root command only.
func writeHelp(cmd *cobra.Command, out io.Writer) {
	var text strings.Builder
	root := cmd == cmd.Root()
	usage := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		usage = cmd.CommandPath() + " COMMAND [flags]"
	}
	description := cmd.Long
	if description == "" {
		description = cmd.Short
	}
	fmt.Fprintf(&text, "Usage:\n  %s\n\n%s\n", usage, description)
	if len(cmd.Aliases) > 0 {
		writeSection(&text, "Aliases", "  "+cmd.NameAndAliases())
	}
	if cmd.HasExample() {
		writeSection(&text, "Examples", cmd.Example)
	}
	for _, group := range cmd.Groups() {
		writeCommands(&text, strings.TrimSuffix(group.Title, ":"), cmd, group.ID)
	}
	writeCommands(&text, "Commands", cmd, "")
	if root {
		writeFlags(&text, "Global flags", cmd.PersistentFlags(), lineWidth(out))
		writeSection(&text, "Variables", "  "+variablesHelp)
		writeSection(&text, "Exit codes", exitCodesHelp)
	} else {
		writeFlags(&text, "Flags", cmd.LocalNonPersistentFlags(), lineWidth(out))
	}
	fmt.Fprintln(&text)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&text, "Help of a command: %s COMMAND --help\n", cmd.CommandPath())
	}
	if !root {
		fmt.Fprintf(&text, "Global flags and exit codes: %s --help\n", cmd.Root().Name())
	}
	_, _ = io.WriteString(out, text.String())
}

func writeSection(text *strings.Builder, title, content string) {
	fmt.Fprintf(text, "\n%s:\n%s\n", title, content)
}

// writeCommands lists the subcommands of a group.
func writeCommands(text *strings.Builder, title string, cmd *cobra.Command, group string) {
	var lines []string
	for _, sub := range cmd.Commands() {
		if sub.GroupID == group && (sub.IsAvailableCommand() || sub.Name() == "help") {
			lines = append(lines, fmt.Sprintf("  %-*s  %s", sub.NamePadding(), sub.Name(), sub.Short))
		}
	}
	if len(lines) > 0 {
		writeSection(text, title, strings.Join(lines, "\n"))
	}
}

// writeFlags lists flags, without --help, which every command has.
func writeFlags(text *strings.Builder, title string, flags *pflag.FlagSet, width int) {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" {
			shown.AddFlag(flag)
		}
	})
	if shown.HasAvailableFlags() {
		writeSection(text, title, strings.TrimSuffix(shown.FlagUsagesWrapped(width), "\n"))
	}
}

// lineWidth returns the width of a terminal, at most 120 columns, which are easy to read; 80 if out is none.
func lineWidth(out io.Writer) int {
	const least, most = 80, 120
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			return min(max(width, least), most)
		}
	}
	return least
}
