package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/content"
)

func newInspectCommand(a *app) *cobra.Command {
	var remote bool
	var platform string
	cmd := &cobra.Command{
		Use:   "inspect IMAGE...",
		Short: "Show an image in detail, as JSON",
		Long: `Show images of the local store in detail, as docker inspect does: an array of JSON.

With --remote, show what a registry (or any other place) has: the manifest, and for an index
its platforms; with --platform, the manifest and the config of that platform. Every manifest
that is read counts as a pull at Docker Hub.`,
		Example: `  regsync inspect nginx:1.25
  regsync inspect --remote nginx:1.25
  regsync inspect --remote --platform linux/arm64 nginx:1.25`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !remote {
				if platform != "" {
					return usagef("--platform needs --remote: the local store shows the host's platform")
				}
				return a.runInspect(cmd.Context(), args)
			}
			return a.runInspectRemote(cmd.Context(), args, platform)
		},
	}
	cmd.Flags().BoolVar(&remote, "remote", false, "look at the place that the reference names, not in the local store")
	cmd.Flags().StringVar(&platform, "platform", "", "`PLATFORM` to show of an index, os/arch[/variant] or windows(VERSION)/arch")
	return cmd
}

// inspectDocument is what --output json prints.
type inspectDocument[T any] struct {
	Schema string `json:"schema"`
	Images []T    `json:"images"`
}

// printInspected prints what could be read: an array, as docker does, or the document.
func printInspected[T any](a *app, images []T) error {
	if a.flags.json() {
		return a.printJSON(inspectDocument[T]{"regsync.inspect/v1", images})
	}
	return a.printJSON(images)
}

// inspectAll collects what look finds of each item. One that fails stops no other.
func inspectAll[I, T any](ctx context.Context, a *app, items []I, look func(context.Context, I) (T, error)) error {
	images := make([]T, 0, len(items))
	var failed failures
	for _, item := range items {
		image, err := look(ctx, item)
		failed.add(err)
		if err == nil {
			images = append(images, image)
		}
	}
	if err := printInspected(a, images); err != nil {
		return err
	}
	return failed.err()
}

// readConfig reads the config of an image.
func readConfig(ctx context.Context, from content.BlobFetcher, d content.Descriptor) ([]byte, error) {
	raw, err := content.ReadBlob(ctx, from, d)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Digest, err)
	}
	return raw, nil
}
