package main

import (
	"context"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

func newDigestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "digest REF",
		Short: "Print the digest that a tag points at",
		Long: `Print the digest that a tag points at. The manifest is not read: at Docker Hub this
costs nothing of the pull quota.`,
		Example: `  regsync digest nginx:1.25
  regsync digest -o json localhost:5000/team/app`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDigest(cmd.Context(), a, args[0])
		},
	}
}

func runDigest(ctx context.Context, a *app, name string) error {
	ref, err := parseReference(name)
	if err != nil {
		return err
	}
	_, d, err := resolve(ctx, a, ref)
	if err != nil {
		return err
	}
	if a.flags.json() {
		return a.printJSON(struct {
			Schema    string        `json:"schema"`
			Reference string        `json:"reference"`
			Digest    digest.Digest `json:"digest"`
			MediaType string        `json:"mediaType"`
			Size      int64         `json:"size"`
		}{"regsync.digest/v1", ref.String(), d.Digest, d.MediaType, d.Size})
	}
	return a.printLine("%s", d.Digest)
}

// resolve opens the place of ref and looks ref up there.
func resolve(ctx context.Context, a *app, ref reference.Reference) (content.Source, content.Descriptor, error) {
	source, err := a.openSource(ctx, ref)
	if err != nil {
		return nil, content.Descriptor{}, err
	}
	d, err := source.Resolve(ctx, ref.Identifier())
	if err != nil {
		return nil, content.Descriptor{}, about(ref, err)
	}
	return source, d, nil
}
