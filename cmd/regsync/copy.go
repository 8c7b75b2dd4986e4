package main

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/flagvalue"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// copyFlags are the flags of copy.
type copyFlags struct {
	platforms                    platformFlags
	referrers, referrersRequired bool
	attestations, foreignLayers  bool
	allTags, dryRun              bool
}

// referrersValues returns the values of --referrers, a boolean flag with a third value.
func referrersValues() []string { return []string{"true", "required", "false"} }

func newCopyCommand(a *app) *cobra.Command {
	var f copyFlags
	cmd := &cobra.Command{
		Use:   "copy SRC DST...",
		Short: "Copy an image between registries, OCI layouts and the local store",
		Long: `Copy an image to one or more destinations. SRC and DST are images at a registry, in an OCI
image layout (oci:DIR[:TAG]) or in the local store (store:NAME). Blobs that already exist at DST
are not sent; within one registry, blobs are mounted.

A destination without a tag gets the tag of the source: regsync copy nginx:1.29 a.corp/nginx
writes a.corp/nginx:1.29 (crane and skopeo write latest). If SRC has no tag either, DST needs
one, unless it is an OCI layout.

An index is copied with all of its platforms, and its digest stays the same. If one platform is
selected, only the manifest of that platform is copied. If several are selected, or with
--attestations=false, the copy is an index that lists only what was selected; its digest differs
if something was left out.`,
		Example: `  regsync copy nginx:1.25 registry.cn-hangzhou.aliyuncs.com/team/nginx
  regsync copy --platform linux/amd64,linux/arm64 redis:7 a.corp/redis:7 b.corp/redis:7
  regsync copy --all-tags harbor.corp/team/app oci:./mirror
  regsync copy --dry-run -o json alpine oci:./mirror`,
		Args: arguments(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return runCopy(cmd.Context(), a, args, &f) },
	}
	flags := cmd.Flags()
	f.platforms.bind(flags, "all")
	flags.BoolFunc("referrers", "also copy signatures, attestations and other referrers; with =required, a tag is written only after its referrers",
		func(value string) error {
			referrers, err := strconv.ParseBool(value)
			f.referrersRequired = value == "required"
			if err != nil && !f.referrersRequired {
				return &flagvalue.ChoiceError{Allowed: referrersValues()}
			}
			f.referrers = referrers || f.referrersRequired
			return nil
		})
	flags.BoolVar(&f.attestations, "attestations", true,
		"copy the attestations that BuildKit adds to an index; =false removes them from the index")
	flags.BoolVar(&f.foreignLayers, "foreign-layers", false,
		"also copy foreign (non-distributable) layers, from their URLs if the source lacks them")
	flags.BoolVar(&f.allTags, "all-tags", false, "copy all tags of the repository SRC to the repository DST")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be copied, without copying anything")
	return declare(a, cmd, traits{patient: true, report: true, dryRun: &f.dryRun})
}

func runCopy(ctx context.Context, a *app, names []string, f *copyFlags) error {
	jobs, err := copyJobs(ctx, a, names, f)
	if err != nil {
		return err
	}
	if f.dryRun {
		plan, err := planJobs(ctx, a, jobs)
		if err != nil {
			return err
		}
		return a.printPlan(ctx, plan, true)
	}
	var hints mountHints
	if len(jobs) > 0 && jobs[0].Source.Transport == reference.Store {
		local, err := a.store()
		if err != nil {
			return err
		}
		hints = local.MountHints
	}
	m, err := move(ctx, a, "copy", jobs, ui.Copying, hints)
	if err != nil {
		return err
	}
	if !a.flags.json() && !a.flags.quiet {
		err = printCopied(a, m.results)
	}
	return endMove(a, m, err)
}

// endMove prints the document of --output json, and returns err and why not everything was copied.
func endMove(a *app, m *moved, err error) error {
	if a.flags.json() {
		err = errors.Join(err, a.printReport(m.report, m.err))
	}
	return errors.Join(err, m.err)
}

// copyJobs returns one job, or with --all-tags one for each tag of the source.
func copyJobs(ctx context.Context, a *app, names []string, f *copyFlags) ([]transfer.Job, error) {
	if slices.Contains(referrersValues(), names[0]) {
		return nil, usagef("the source is %q: write the value of a flag after an equals sign, as in --referrers=required or --attestations=false",
			names[0])
	}
	platforms, err := f.platforms.selected(nil)
	if err != nil {
		return nil, err
	}
	parse := parseCopied
	if f.allTags {
		parse = parseRepositories
	} else if err := checkOneImage(ctx, a, names[0]); err != nil {
		return nil, err
	}
	refs, err := parse(names)
	if err != nil {
		return nil, err
	}
	job := transfer.Job{
		Source: refs[0], Destinations: refs[1:], RequireSource: true, Platforms: platforms, ForeignLayers: f.foreignLayers,
		Referrers: f.referrers, ReferrersRequired: f.referrersRequired,
	}
	if !f.attestations {
		job.Attestations = transfer.AttestationsDrop
	}
	if !f.allTags {
		return []transfer.Job{job}, nil
	}
	tags, err := listTags(ctx, a, job.Source, false)
	if err != nil {
		return nil, err
	}
	jobs := make([]transfer.Job, len(tags))
	for i, tag := range tags {
		job.Source = refs[0].WithTag(tag)
		job.Destinations = make([]reference.Reference, 0, len(refs)-1)
		for _, ref := range refs[1:] {
			job.Destinations = append(job.Destinations, ref.WithTag(tag))
		}
		jobs[i] = job
	}
	return jobs, nil
}

// checkOneImage refuses a layout without a tag that has several images, and names them as its user has to write them.
func checkOneImage(ctx context.Context, a *app, name string) error {
	ref, err := parseReference(name)
	if err != nil || ref.Transport != reference.Layout || ref.Identifier() != "" {
		return err
	}
	_, _, err = resolve(ctx, a, ref)
	several, ok := errors.AsType[*layout.AmbiguousError](err)
	if !ok {
		return nil // the copy reports other errors
	}
	choices := slices.Clone(several.Choices)
	for i := range choices {
		choices[i].Path = ref.Path
	}
	slices.SortFunc(choices, func(a, b reference.Reference) int { return compareNatural(a.Familiar(), b.Familiar()) })
	return &usageError{&layout.AmbiguousError{Layout: ref.Familiar(), Choices: choices}}
}

// parseRepositories reads the source and the destinations of copy --all-tags.
func parseRepositories(names []string) ([]reference.Reference, error) {
	return parseAll(names, parseRepository)
}

// parseCopied reads the source and the destinations of copy. A destination without a tag gets that of the source. Unlike
// elsewhere, no tag is not latest: what was meant is not known if the source has a digest, or no tag either.
func parseCopied(names []string) ([]reference.Reference, error) {
	source, err := parseReference(names[0])
	if err != nil {
		return nil, err
	}
	_, err = reference.ParseRepository(names[0])
	tagged := err != nil && source.Tag != ""
	refs := []reference.Reference{source}
	for _, name := range names[1:] {
		ref, err := reference.ParseRepository(name)
		switch {
		case err != nil:
			if ref, err = parseReference(name); err != nil {
				return nil, err
			}
		case tagged, ref.Transport == reference.Layout:
			ref = ref.WithTag(source.Tag)
		default:
			return nil, usagef("%s has no tag, and the destination needs one: write %s:TAG", names[0], name)
		}
		if err := checkTransport(ref); err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// printCopied prints what every destination has now.
func printCopied(a *app, results []*transfer.Result) error {
	for _, r := range results {
		for _, d := range r.Destinations {
			if d.Err != nil {
				continue
			}
			what := "added"
			switch d.Action {
			case transfer.ActionMove:
				what = "moved"
			case transfer.ActionUnchanged:
				what = "unchanged"
			}
			if d.Referrers > 0 {
				what += ", " + ui.Referrers(d.Referrers) + " copied"
			}
			if err := a.printLine("%s: digest: %s (%s)", d.Reference.Familiar(), d.Digest, what); err != nil {
				return err
			}
		}
	}
	return nil
}

func newPullCommand(a *app) *cobra.Command {
	var platforms platformFlags
	cmd := &cobra.Command{
		Use:   "pull NAME[:TAG|@DIGEST]",
		Short: "Download an image from a registry into the local store",
		Long: `Download an image from a registry into the local store. Without a tag, latest is
pulled. If the image is an index, only the manifest of the host's platform is stored, under its
own digest. An image that is pulled by digest is named REPOSITORY@DIGEST, with the digest of
the stored manifest. With -q, only the name of the image is printed.`,
		Example: `  regsync pull nginx:1.25
  regsync pull --platform linux/arm64 alpine
  regsync pull --all-platforms harbor.corp/team/app:1.2`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runPull(cmd.Context(), a, args[0], &platforms) },
	}
	platforms.bind(cmd.Flags(), "the host's platform")
	return declare(a, cmd, traits{report: true})
}

func runPull(ctx context.Context, a *app, name string, flags *platformFlags) error {
	platforms, err := flags.selected([]content.Platform{content.HostPlatform()})
	if err != nil {
		return err
	}
	ref, err := parseAtRegistry(name)
	if err != nil {
		return err
	}
	to := ref.WithTransport(reference.Store)
	if ref.Digest != "" { // as with Docker, it gets no tag, and the digest of the platform's manifest
		to = to.WithoutIdentifier()
	}
	job := transfer.Job{Source: ref, Destinations: []reference.Reference{to}, Platforms: platforms, RequireSource: true}
	m, err := move(ctx, a, "pull", []transfer.Job{job}, ui.Pulling, nil)
	if err != nil {
		return err
	}
	if m.err == nil {
		err = recordSeen(ctx, a, m.results[0], ref)
		if !a.flags.json() {
			err = errors.Join(err, printPulled(a, ref, m.results[0]))
		}
	}
	return endMove(a, m, err)
}

// recordSeen tells the store which repository has an image, so that its blobs may be mounted.
func recordSeen(ctx context.Context, a *app, r *transfer.Result, at reference.Reference) error {
	local, err := a.store()
	if err != nil {
		return err
	}
	return local.Seen(ctx, r.Digest, at)
}

// printPulled prints what docker pull prints, with the name that finds the image in the store.
func printPulled(a *app, ref reference.Reference, r *transfer.Result) error {
	if ref.Digest != "" {
		ref = ref.WithDigest(r.Digest)
	}
	if a.flags.quiet {
		return a.printLine("%s", ref)
	}
	status := "Downloaded newer image"
	if r.Destinations[0].Action == transfer.ActionUnchanged {
		status = "Image is up to date"
	}
	return printLines(a, []string{"Digest: " + r.Digest.String(), "Status: " + status + " for " + ref.Familiar(), ref.String()})
}

func newPushCommand(a *app) *cobra.Command {
	var allTags bool
	cmd := &cobra.Command{
		Use:   "push NAME[:TAG]",
		Short: "Upload an image from the local store to a registry",
		Long: `Upload an image from the local store to the registry in its name. To push an image under
another name, tag it first: regsync tag IMAGE HOST/REPOSITORY:TAG. With -q, only the names
that were pushed are printed.`,
		Example: `  regsync push registry.cn-hangzhou.aliyuncs.com/team/app:1.1
  regsync push --all-tags localhost:5000/app`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runPush(cmd.Context(), a, args[0], allTags) },
	}
	cmd.Flags().BoolVarP(&allTags, "all-tags", "a", false, "push all tags of the repository NAME")
	return declare(a, cmd, traits{report: true})
}

func runPush(ctx context.Context, a *app, name string, allTags bool) error {
	local, err := a.store()
	if err != nil {
		return err
	}
	jobs, err := pushJobs(ctx, a, local, name, allTags)
	if err != nil {
		return err
	}
	m, err := move(ctx, a, "push", jobs, ui.Pushing, local.MountHints)
	if err != nil {
		return err
	}
	for _, r := range m.results {
		if r.Failed() {
			continue
		}
		to := r.Destinations[0].Reference
		err = errors.Join(err, local.Seen(ctx, r.Digest, to))
		switch {
		case a.flags.json():
		case a.flags.quiet:
			err = errors.Join(err, a.printLine("%s", to))
		default:
			err = errors.Join(err, a.printLine("%s: digest: %s size: %d", to.Identifier(), r.Digest, m.sizes.size[r.Digest]))
		}
	}
	return endMove(a, m, err)
}

// pushJobs returns one job, or with --all-tags one for each tag that the local store has.
func pushJobs(ctx context.Context, a *app, local *store.Store, name string, allTags bool) ([]transfer.Job, error) {
	job := func(ref reference.Reference) transfer.Job {
		return transfer.Job{
			Source:        ref.WithTransport(reference.Store),
			Destinations:  []reference.Reference{ref.WithTransport(reference.Registry)},
			RequireSource: true,
		}
	}
	if !allTags {
		ref, err := parsePushed(name)
		if err != nil {
			return nil, err
		}
		if _, err := local.Find(ctx, ref.String()); err != nil {
			return nil, notPushable(ref.Familiar(), err)
		}
		return []transfer.Job{job(ref)}, nil
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
		return nil, notPushable(repository.FamiliarName(), content.ErrNotFound)
	}
	jobs := make([]transfer.Job, len(tags))
	for i, tag := range tags {
		jobs[i] = job(repository.WithTag(tag))
	}
	return jobs, nil
}

// notPushable returns the error for a name that is not in the local store, with the way to get one there.
func notPushable(name string, err error) error {
	err = storeError(name, err)
	if missing, ok := errors.AsType[*notInStoreError](err); ok {
		missing.hint = "to give an image this name: regsync tag IMAGE " + name + "; regsync images lists the images in the local store"
	}
	return err
}
