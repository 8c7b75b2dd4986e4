package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

func newDeleteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "delete REF...",
		Short: "Delete tags, or images by digest, at a registry",
		Long: `Delete tags, or images by digest, at a registry. It asks nothing, so the tag or the digest
must be written out. A digest takes all tags of that image with it. The registry frees
the space in its own time.

For the local store there is regsync rmi.`,
		Example: `  regsync delete localhost:5000/team/app:old
  regsync delete localhost:5000/team/app@sha256:…`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDelete(cmd.Context(), a, args)
		},
	}
}

// deleted is one line of the result.
type deleted struct {
	Reference string `json:"reference"`
	Error     string `json:"error,omitempty"`
}

func runDelete(ctx context.Context, a *app, names []string) error {
	refs := make([]reference.Reference, len(names))
	for i, name := range names {
		ref, err := parseDeletion(name)
		if err != nil {
			return err
		}
		refs[i] = ref
	}
	var failed failures
	results := make([]deleted, len(refs))
	for i, ref := range refs {
		err := deleteOne(ctx, a, ref)
		failed.add(err)
		results[i].Reference = ref.String()
		if err != nil {
			results[i].Error = err.Error()
		}
	}
	if a.flags.json() {
		if err := a.printJSON(struct {
			Schema string    `json:"schema"`
			Images []deleted `json:"images"`
		}{"regsync.delete/v1", results}); err != nil {
			return err
		}
	}
	return failed.err()
}

// parseDeletion wants to be told exactly what goes: no tag is taken for granted.
func parseDeletion(name string) (reference.Reference, error) {
	if repository, err := reference.ParseRepository(name); err == nil {
		return reference.Reference{}, usagef("%s is a repository: write the tag or the digest to delete, as in %s:TAG",
			name, repository.FamiliarName())
	}
	ref, err := parseReference(name)
	if err == nil && ref.Tag != "" && ref.Digest != "" {
		return reference.Reference{}, usagef("%s has a tag and a digest: write the one to delete", name)
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
		return about(ref, err)
	}
	a.forgetSeen(source.Location(), ref.Tag)
	if a.flags.quiet || a.flags.json() {
		return nil
	}
	what := "deleted the tag " + ref.Familiar()
	if ref.Digest != "" {
		what = "deleted " + ref.Familiar() + " and all its tags"
	}
	return a.printLine("%s", what)
}
