package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

func newTagCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "tag SRC DST",
		Short: "Give an image of the local store another name",
		Long: `Give an image of the local store another name. SRC is a name or the first characters of
an image ID. It touches no registry: regsync push brings the image there, and
regsync copy SRC DST tags what is at a registry already.`,
		Example: `  regsync tag nginx:1.25 registry.cn-hangzhou.aliyuncs.com/team/nginx:1.25
  regsync tag 4bb46517cac3 localhost:5000/app:1`,
		Args: arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTag(cmd.Context(), a, args[0], args[1])
		},
	}
}

func runTag(ctx context.Context, a *app, source, name string) error {
	ref, err := parseAtRegistry(name)
	if err != nil {
		return err
	}
	if ref.Digest != "" {
		return usagef("%s has a digest: a new name has a tag only", name)
	}
	local, err := a.store()
	if err != nil {
		return err
	}
	err = local.Tag(ctx, source, ref)
	if errors.Is(err, content.ErrNotFound) {
		return &notInStoreError{name: source, hint: tagHint(source, name)}
	}
	if err != nil {
		return storeError(source, err)
	}
	if !a.flags.json() {
		return nil
	}
	return a.printJSON(struct {
		Schema string              `json:"schema"`
		Image  string              `json:"image"`
		Name   reference.Reference `json:"name"`
	}{"regsync.tag/v1", source, ref})
}

// tagHint is for a source that is not in the local store. What may be an ID is meant as one.
func tagHint(source, name string) string {
	if strings.Trim(strings.TrimPrefix(source, "sha256:"), "0123456789abcdef") == "" {
		return storeHint
	}
	return "for an image at a registry: regsync copy " + source + " " + name
}
