package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

func newTagsCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "tags REPOSITORY",
		Short: "List the tags of a repository",
		Long: `List the tags of a repository, one a line, numbers in them ordered as numbers.

Tags that are named after a digest (lists of referrers, cosign's signatures) belong to
their image and are listed with --all only.`,
		Example: `  regsync tags nginx
  regsync tags -o json registry.cn-hangzhou.aliyuncs.com/team/app
  regsync tags oci:./mirror`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runTags(cmd.Context(), args[0], all)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also list tags that belong to an image")
	return cmd
}

func (a *app) runTags(ctx context.Context, name string, all bool) error {
	repository, err := parseRepository(name)
	if err != nil {
		return err
	}
	tags, err := a.listTags(ctx, repository, all)
	if err != nil {
		return err
	}
	if a.flags.json() {
		return a.printJSON(struct {
			Schema     string   `json:"schema"`
			Repository string   `json:"repository"`
			Tags       []string `json:"tags"`
		}{"regsync.tags/v1", repository.Name(), tags})
	}
	return a.printLines(slices.Values(tags))
}

// listTags is what a repository lists, sorted, attached tags only if all are wanted.
func (a *app) listTags(ctx context.Context, repository reference.Reference, all bool) ([]string, error) {
	source, err := a.openSource(ctx, repository)
	if err != nil {
		return nil, err
	}
	lister, ok := source.(content.TagLister)
	if !ok {
		return nil, fmt.Errorf("list the tags of %s: %w", repository.Familiar(), content.ErrUnsupported)
	}
	const pieceOf = 4096 // tags: one slice that grows would be copied, and a listing may have a million
	pieces := [][]string{{}}
	for tag, err := range lister.Tags(ctx) {
		invalid, failure := content.SplitInvalidNames(err)
		if failure != nil {
			return nil, about(repository, fmt.Errorf("list tags: %w", failure))
		}
		if invalid != nil {
			a.warn("%s: %v", repository.Familiar(), invalid)
			break
		}
		if all || !content.IsAttachedTag(tag) {
			last := &pieces[len(pieces)-1]
			if *last = append(*last, tag); len(*last) == pieceOf {
				pieces = append(pieces, make([]string, 0, pieceOf))
			}
		}
	}
	tags := slices.Concat(pieces...)
	if tags == nil {
		tags = []string{} // not null in JSON
	}
	slices.SortFunc(tags, compareNatural)
	return tags, nil
}
