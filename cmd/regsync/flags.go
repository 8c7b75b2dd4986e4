package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/cmd/regsync/internal/flagvalue"
	"github.com/regsync/regsync/internal/typo"
)

// flagError says what is wrong with a flag on the command line.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, unknown)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		hint, problem := valueProblem(invalid)
		return usageWithHint(fmt.Errorf("--%s: %w", invalid.GetFlag().Name, problem), hint)
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		err = fmt.Errorf("--%s needs a value", missing.GetFlag().Name)
	}
	return usageWithHint(err, seeHelp(cmd))
}

func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	shown, written := "--"+unknown.GetSpecifiedName(), unknown.GetSpecifiedName()
	if group := unknown.GetSpecifiedShortnames(); group != "" {
		shown, written = "-"+group, group // as in -platform
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	hint := seeHelp(cmd)
	if name, ok := typo.Closest(written, names); ok {
		hint = "did you mean --" + name + "?"
	}
	return usageWithHint(fmt.Errorf("unknown flag %s", shown), hint)
}

// valueProblem says what is wrong with the value of a flag, and what may be meant.
func valueProblem(invalid *pflag.InvalidValueError) (hint string, problem error) {
	value := invalid.GetValue()
	if invalid.GetFlag().Value.Type() == "bool" {
		return "", fmt.Errorf("%q is neither true nor false", value)
	}
	choice, ok := errors.AsType[*flagvalue.ChoiceError](invalid)
	if !ok {
		return "", invalid.Unwrap()
	}
	if word, ok := typo.Closest(value, choice.Allowed); ok {
		hint = "did you mean " + word + "?"
	}
	return hint, fmt.Errorf("%q is not one of %s", value, strings.Join(choice.Allowed, ", "))
}

// seeHelp is the hint for a command line of the wrong form.
func seeHelp(cmd *cobra.Command) string { return cmd.CommandPath() + " --help shows the usage" }

// unknownCommand is the error for a word that is no subcommand of cmd.
func unknownCommand(cmd *cobra.Command, word string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			names = append(append(names, sub.Name()), sub.Aliases...)
		}
	}
	path := strings.TrimPrefix(cmd.CommandPath()+" ", cmd.Root().Name()+" ")
	hint := cmd.CommandPath() + " --help lists the commands"
	if name, ok := typo.Closest(word, names); ok {
		hint = "did you mean " + cmd.CommandPath() + " " + name + "?"
	}
	return usageWithHint(fmt.Errorf("unknown command %q", path+word), hint)
}
