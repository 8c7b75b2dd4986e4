package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

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
			return runTags(cmd.Context(), a, args[0], all)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also list tags that belong to an image")
	return cmd
}

func runTags(ctx context.Context, a *app, name string, all bool) error {
	repository, err := parseRepository(name)
	if err != nil {
		return err
	}
	tags, err := listTags(ctx, a, repository, all)
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
func listTags(ctx context.Context, a *app, repository reference.Reference, all bool) ([]string, error) {
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

// compareNatural orders as people do: the numbers in two texts are compared as numbers, so
// that 1.9 goes before 1.10.
func compareNatural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		left, right := cutRun(x), cutRun(y)
		if c := compareRuns(left, right); c != 0 {
			return c
		}
		x, y = x[len(left):], y[len(right):]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// cutRun is the digits, or else the other characters, that s begins with.
func cutRun(s string) string {
	digit := isDigit(s[0])
	end := 1
	for end < len(s) && isDigit(s[end]) == digit {
		end++
	}
	return s[:end]
}

func compareRuns(a, b string) int {
	if !isDigit(a[0]) || !isDigit(b[0]) {
		return strings.Compare(a, b)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
