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
		Long: `Manage images, as with docker image. The commands also work without "image": regsync pull is
the same as regsync image pull. Only two have another name: image ls is regsync images, and
image rm is regsync rmi.`,
		Args: cobra.ArbitraryArgs, // else the error has the words of cobra
		RunE: runWithoutCommand,
	}
	cmd.AddCommand(
		grouped(newHistoryCommand(a), "history"),
		grouped(newInspectCommand(a), "inspect"),
		grouped(newImagesCommand(a), "ls", "list"),
		grouped(newPullCommand(a), "pull"),
		grouped(newPushCommand(a), "push"),
		grouped(newRmiCommand(a), "rm", "remove"),
		grouped(newTagCommand(a), "tag"),
	)
	return cmd
}

// documentName is the annotation with a command's name in the schema of its JSON document.
const documentName = "document"

// grouped returns a command as the group image has it. Its JSON documents keep the schema of the command outside.
func grouped(cmd *cobra.Command, name string, aliases ...string) *cobra.Command {
	outside := cmd.Name()
	cmd.Annotations = map[string]string{documentName: outside}
	cmd.Use = strings.Replace(cmd.Use, outside, name, 1)
	cmd.Aliases = aliases
	cmd.Example = strings.ReplaceAll(cmd.Example, "regsync "+outside, "regsync image "+name)
	return cmd
}
