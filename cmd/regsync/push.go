package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

func newPushCommand(a *app) *cobra.Command {
	var allTags bool
	cmd := &cobra.Command{
		Use:   "push NAME",
		Short: "Push an image of the local store to the registry in its name",
		Long: `Push an image of the local store to the registry in its name. Give it that name first:
regsync tag IMAGE HOST/REPOSITORY:TAG.`,
		Example: `  regsync push registry.cn-hangzhou.aliyuncs.com/team/app:1.1
  regsync push --all-tags localhost:5000/app`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPush(cmd.Context(), a, args[0], allTags)
		},
	}
	cmd.Flags().BoolVarP(&allTags, "all-tags", "a", false, "push all tags that the local store has of the repository NAME")
	return cmd
}

func runPush(ctx context.Context, a *app, name string, allTags bool) error {
	jobs, err := pushJobs(ctx, a, name, allTags)
	if err != nil {
		return err
	}
	local, err := a.store()
	if err != nil {
		return err
	}
	m, err := move(ctx, a, "push", jobs, ui.Pushing, local.MountHints)
	if err != nil {
		return err
	}
	return errors.Join(reportPush(ctx, a, m), m.err)
}

func pushJobs(ctx context.Context, a *app, name string, allTags bool) ([]transfer.Job, error) {
	if !allTags {
		ref, err := parseAtRegistry(name)
		if err != nil {
			return nil, err
		}
		return []transfer.Job{pushJob(ref)}, nil
	}
	repository, err := parseRepository(name)
	if err != nil {
		return nil, err
	}
	tags, err := listTags(ctx, a, repository.WithTransport(reference.Store), false)
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, &notInStoreError{name: repository.FamiliarName(), hint: storeHint}
	}
	jobs := make([]transfer.Job, len(tags))
	for i, tag := range tags {
		jobs[i] = pushJob(repository.WithTag(tag))
	}
	return jobs, nil
}

func pushJob(ref reference.Reference) transfer.Job {
	return transfer.Job{
		Source:        ref.WithTransport(reference.Store),
		Destinations:  []reference.Reference{ref.WithTransport(reference.Registry)},
		RequireSource: true,
	}
}

// reportPush ends as docker push does, and tells the store where its images are now.
func reportPush(ctx context.Context, a *app, m *moved) error {
	var errs []error
	for _, r := range m.results {
		if r.Failed() {
			continue
		}
		to := r.Destinations[0].Reference
		errs = append(errs, recordSeen(ctx, a, r, to))
		if !a.flags.json() && !a.flags.quiet {
			errs = append(errs, a.printLine("%s: digest: %s size: %d", to.Identifier(), r.Digest, m.sizes.size[r.Digest]))
		}
	}
	if a.flags.json() {
		errs = append(errs, a.printReport(m.report, m.err))
	}
	return errors.Join(errs...)
}
