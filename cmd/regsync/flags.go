package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/internal/typo"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// choice is a flag with a few allowed values; the first one is the default.
type choice struct {
	value   *string
	allowed []string
}

var _ pflag.Value = (*choice)(nil)

func newChoice(value *string, allowed ...string) *choice {
	*value = allowed[0]
	return &choice{value: value, allowed: allowed}
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "choice" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return oneOf(c.allowed)
	}
	*c.value = s
	return nil
}

// choiceError is a value that is none of those that are allowed.
type choiceError struct{ allowed []string }

func (e *choiceError) Error() string { return "must be one of " + strings.Join(e.allowed, ", ") }

func oneOf(words []string) error { return &choiceError{words} }

// duration is a flag with a length of time, written as in a configuration. It may be zero.
type duration struct{ value *time.Duration }

var _ pflag.Value = duration{}

func newDuration(value *time.Duration, fallback time.Duration) duration {
	*value = fallback
	return duration{value}
}

func (d duration) Type() string { return "duration" }

func (d duration) String() string {
	if d.value == nil { // pflag compares the default with the zero value
		return ""
	}
	return config.FormatDuration(*d.value)
}

func (d duration) Set(s string) error {
	value, err := config.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%w; durations are written 90s, 30m, 1h30m or 2d", err)
	}
	*d.value = value
	return nil
}

// hostList is a flag with hosts of registries, separated by commas in one value or in several.
type hostList struct{ names *[]string }

var _ pflag.Value = hostList{}

func (h hostList) Type() string { return "HOST" }

func (h hostList) String() string {
	if h.names == nil {
		return ""
	}
	return strings.Join(*h.names, ",")
}

func (h hostList) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		host, err := parseHost(strings.TrimSpace(name))
		if err != nil {
			return err
		}
		if !slices.Contains(*h.names, host) {
			*h.names = append(*h.names, host)
		}
	}
	return nil
}

// parseHost reads host[:port].
func parseHost(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("the host is missing")
	case strings.Contains(name, "*"):
		return "", errors.New("wildcards are not allowed; name each host")
	case strings.Contains(name, "/"):
		return "", errors.New("must be HOST or HOST:PORT, without a scheme or a path")
	}
	host, _, err := reference.ParseRegistry(name)
	return host, err
}

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
	choice, ok := errors.AsType[*choiceError](invalid)
	if !ok {
		return "", invalid.Unwrap()
	}
	if word, ok := typo.Closest(value, choice.allowed); ok {
		hint = "did you mean " + word + "?"
	}
	return hint, fmt.Errorf("%q is not one of %s", value, strings.Join(choice.allowed, ", "))
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
