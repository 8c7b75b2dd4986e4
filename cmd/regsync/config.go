package main

import (
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/mirror/config"
)

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check configurations, and what they are made of",
		Args:  cobra.ArbitraryArgs, // else cobra words the error itself
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return &usageError{&unknownCommandError{name: "config " + args[0], similar: prefixed("config ", cmd.SuggestionsFor(args[0]))}}
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(newConfigCheckCommand(a), newConfigSchemaCommand(a))
	return cmd
}

func prefixed(prefix string, words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = prefix + word
	}
	return all
}

func newConfigSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of configurations",
		Long: `Print the JSON Schema of configurations, for editors: with the YAML language server, put

  # yaml-language-server: $schema=regsync.schema.json

on the first line of a configuration. The schema knows keys and types; what goes together
is known by regsync config check.`,
		Example: `  regsync config schema > regsync.schema.json`,
		Args:    arguments(0, 0),
		RunE:    func(*cobra.Command, []string) error { return a.printJSON(config.Schema()) },
	}
}
