package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

func newDigestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "digest REF",
		Short: "Print the digest of a tag",
		Long: `Print the digest of a tag. The manifest is not downloaded, so Docker Hub does not count a
pull.`,
		Example: `  regsync digest nginx:1.25
  regsync digest -o json localhost:5000/team/app`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runDigest(cmd.Context(), a, args[0]) },
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
	return printResult(a, struct {
		Schema    string        `json:"schema"`
		Reference string        `json:"reference"`
		Digest    digest.Digest `json:"digest"`
		MediaType string        `json:"mediaType"`
		Size      int64         `json:"size"`
	}{"regsync.digest/v1", ref.String(), d.Digest, d.MediaType, d.Size}, d.Digest.String())
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

func newTagsCommand(a *app) *cobra.Command {
	var f tagsFlags
	cmd := &cobra.Command{
		Use:   "tags REPOSITORY",
		Short: "List the tags of a repository",
		Long: `List the tags of a repository, one per line, in version order: 1.9 comes before 1.10.

Tags that are named after a digest (signatures and other referrers) belong to another image and
are listed only with --all.`,
		Example: `  regsync tags nginx
  regsync tags --format '{{.Repository}}:{{.Tag}}' nginx
  regsync tags -o json registry.cn-hangzhou.aliyuncs.com/team/app
  regsync tags oci:./mirror`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runTags(cmd.Context(), a, args[0], f) },
	}
	cmd.Flags().BoolVarP(&f.all, "all", "a", false, "also list tags that belong to another image, such as signatures")
	f.format.bind(cmd.Flags())
	return cmd
}

// tagsFlags are the flags of tags.
type tagsFlags struct {
	all    bool
	format formatFlag[tagRow]
}

// tagRow is a tag as a template sees it.
type tagRow struct {
	Repository string `header:"REPOSITORY"`
	Tag        string `header:"TAG"`
}

func runTags(ctx context.Context, a *app, name string, f tagsFlags) error {
	if f.format.text == "table" { // without --format, tags prints no table
		f.format.text = `table {{.Repository}}\t{{.Tag}}`
	}
	printer, err := f.format.parse(a)
	if err != nil {
		return err
	}
	repository, err := parseRepository(name)
	if err != nil {
		return err
	}
	tags, err := listTags(ctx, a, repository, f.all)
	if err != nil {
		return err
	}
	if printer != nil {
		rows := make([]tagRow, len(tags))
		for i, tag := range tags {
			rows[i] = tagRow{repository.FamiliarName(), tag}
		}
		return printFormatted(a, printer, rows)
	}
	return printResult(a, struct {
		Schema     string   `json:"schema"`
		Repository string   `json:"repository"`
		Tags       []string `json:"tags"`
	}{"regsync.tags/v1", repository.Name(), tags}, tags...)
}

// listTags returns the tags of a repository, sorted. Without all, it leaves out the attached ones.
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

func newReposCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "repos HOST",
		Short: "List the repositories of a registry",
		Long: `List the repositories of a registry that your account may see, one per line. Docker Hub and
Aliyun ACR do not support this.`,
		Example: `  regsync repos localhost:5000
  regsync repos -o json harbor.corp:5443`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runRepos(cmd.Context(), a, args[0]) },
	}
}

// noCatalogError is a registry that does not list its repositories.
type noCatalogError struct {
	host string
	err  error
}

func (e *noCatalogError) Error() string {
	return fmt.Sprintf("%s does not list its repositories: %s", e.host, content.AnswerOf(e.err).Reason)
}

func (e *noCatalogError) Unwrap() error { return e.err }

func runRepos(ctx context.Context, a *app, name string) error {
	host, path, err := reference.ParseRegistry(name)
	if err != nil {
		return &usageError{err}
	}
	if path != "" {
		return usagef("%s is a repository, not a registry; to list its tags: regsync tags %s", name, name)
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	repositories := []string{}
	for repository, err := range client.Repositories(ctx, host, "") {
		invalid, err := content.SplitInvalidNames(err)
		if invalid != nil {
			a.warn("%s: %v", host, invalid)
			break
		}
		if errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrUnsupported) || denied(err) {
			return &noCatalogError{host, err}
		}
		if err != nil {
			return err
		}
		repositories = append(repositories, repository)
	}
	slices.SortFunc(repositories, compareNatural)
	return printResult(a, struct {
		Schema       string   `json:"schema"`
		Registry     string   `json:"registry"`
		Repositories []string `json:"repositories"`
	}{"regsync.repos/v1", host, repositories}, repositories...)
}

// compareNatural compares the numbers in two texts as numbers, so that 1.9 is before 1.10.
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

// cutRun returns the digits, or else the other characters, that s begins with.
func cutRun(s string) string {
	end := 1
	for end < len(s) && isDigit(s[end]) == isDigit(s[0]) {
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

func newDeleteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "delete REF...",
		Short: "Delete tags or images at a registry",
		Long: `Delete tags or images at a registry, without confirmation. REF must have a tag or a digest.

Deleting a digest deletes the image and all of its tags. Deleting a tag leaves the other tags of
the image at registries that follow the OCI specification; some registries refuse it, and some
delete the whole image with all of its tags. The registry frees the space at its next garbage
collection.

To remove an image from the local store, use regsync rmi.`,
		Example: `  regsync delete localhost:5000/team/app:old
  regsync delete localhost:5000/team/app@sha256:…`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return runDelete(cmd.Context(), a, args) },
	}
}

func runDelete(ctx context.Context, a *app, names []string) error {
	refs, err := parseAll(names, parseDeletion)
	if err != nil {
		return err
	}
	type deleted struct {
		Reference string `json:"reference"`
		Error     string `json:"error,omitempty"`
	}
	failed := &failures{items: "images"}
	results := make([]deleted, len(refs))
	for i, ref := range refs {
		err := deleteOne(ctx, a, ref)
		failed.add(err)
		results[i] = deleted{ref.String(), text(err)}
	}
	return errors.Join(printResult(a, imagesDocument(a, "regsync.delete/v1", results, failed.err())), failed.err())
}

// parseDeletion reads the name of what is deleted. Its tag or digest has to be written out.
func parseDeletion(name string) (reference.Reference, error) {
	if repository, err := reference.ParseRepository(name); err == nil {
		return reference.Reference{}, usagef("%s has no tag or digest; to delete a tag, write %s:TAG",
			name, repository.FamiliarName())
	}
	ref, err := parseReference(name)
	if err == nil && ref.Tag != "" && ref.Digest != "" {
		return reference.Reference{}, usagef("%s has a tag and a digest; write only the one to delete", name)
	}
	return ref, err
}

func deleteOne(ctx context.Context, a *app, ref reference.Reference) error {
	source, err := a.openSource(ctx, ref)
	if err != nil {
		return err
	}
	deleter, ok := source.(content.Deleter)
	if !ok {
		return fmt.Errorf("delete %s: %w", ref.Familiar(), content.ErrUnsupported)
	}
	if err := deleter.Delete(ctx, ref.Identifier()); err != nil {
		return about(ref, undeleted(ctx, source, ref, err))
	}
	a.forgetSeen(source.Location(), ref.Tag)
	newTagCache(a, ref).Forget(ref.WithoutIdentifier())
	if a.flags.quiet || a.flags.json() {
		return nil
	}
	return a.printLine("Deleted: %s", ref.Familiar())
}

// undeleted returns err with the next step if the registry did not delete a tag because it may delete only by digest. If
// there is no such tag, it says so instead.
func undeleted(ctx context.Context, source content.Source, ref reference.Reference, err error) error {
	byDigest := is[*registry.DigestOnlyError](err)
	if ref.Tag == "" || !byDigest && !errors.Is(err, content.ErrUnsupported) {
		return err
	}
	d, missing := source.Resolve(ctx, ref.Tag)
	switch {
	case errors.Is(missing, content.ErrNotFound):
		return missing
	case missing != nil:
		return err
	}
	hint := fmt.Sprintf("regsync delete %s deletes the image with all its tags", ref.WithDigest(d.Digest).Familiar())
	if !byDigest {
		hint = "the registry may delete only by digest: " + hint
	}
	return &hintedError{err, hint}
}
