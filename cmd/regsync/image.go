package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newImageCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Manage images",
		Example: `  regsync image ls
  regsync image pull nginx:1.29`,
		Long: `Manage images, as with docker image. Each command also exists without "image": regsync pull is
the same as regsync image pull. Two have another name there: regsync images is regsync image ls,
and regsync rmi is regsync image rm.`,
		Args: cobra.ArbitraryArgs, // else the error has the words of cobra
		RunE: runWithoutCommand,
	}
	cmd.AddCommand(
		grouped(a, newHistoryCommand(a), "history"),
		grouped(a, newInspectCommand(a), "inspect"),
		grouped(a, newImagesCommand(a), "ls", "list"),
		grouped(a, newPullCommand(a), "pull"),
		grouped(a, newPushCommand(a), "push"),
		grouped(a, newRmiCommand(a), "rm", "remove"),
		grouped(a, newTagCommand(a), "tag"),
	)
	return cmd
}

// grouped returns a command as the group image has it. Its JSON documents keep the schema of the command outside.
func grouped(a *app, cmd *cobra.Command, name string, aliases ...string) *cobra.Command {
	outside := cmd.Name()
	t := a.traits[cmd]
	t.document = outside
	declare(a, cmd, t)
	cmd.Use = strings.Replace(cmd.Use, outside, name, 1)
	cmd.Aliases = aliases
	cmd.Example = strings.ReplaceAll(cmd.Example, "regsync "+outside, "regsync image "+name)
	return cmd
}
