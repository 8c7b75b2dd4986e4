package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// copying is one run of the command.
type copying struct {
	app           *app
	platforms     platformFlags
	referrers     referrersFlag
	attestations  bool
	foreignLayers bool
	allTags       bool
	dryRun        bool
}

// referrersFlag is a boolean flag with a third value, required.
type referrersFlag struct{ bring, required bool }

var _ pflag.Value = (*referrersFlag)(nil)

func (f *referrersFlag) String() string {
	if f.required {
		return "required"
	}
	return strconv.FormatBool(f.bring)
}

func (f *referrersFlag) Type() string    { return "boolfunc" } // shown without a type in the help
func (f *referrersFlag) words() []string { return []string{"true", "required", "false"} }

func (f *referrersFlag) Set(s string) (err error) {
	if f.required = s == "required"; f.required {
		f.bring = true
		return nil
	}
	if f.bring, err = strconv.ParseBool(s); err != nil {
		return oneOf(f.words())
	}
	return nil
}

func newCopyCommand(a *app) *cobra.Command {
	c := &copying{app: a}
	cmd := &cobra.Command{
		Use:   "copy SRC DST...",
		Short: "Copy an image from anywhere to anywhere",
		Long: `Copy an image to one or more places: registries, OCI image layouts (oci:DIR[:TAG]), the
local store (store:NAME). Digests do not change. Blobs that exist already are not sent;
within one registry, blobs are mounted.

A destination without a tag means :latest at a registry and in the local store, as with
Docker; a layout (oci:DIR) takes the source's tag.

An index is copied with all its platforms. With one platform selected, that platform's
manifest is copied. With several, or with --attestations=false, the index is rewritten
without what is left out.`,
		Example: `  regsync copy nginx:1.25 registry.cn-hangzhou.aliyuncs.com/team/nginx:1.25
  regsync copy --platform linux/amd64,linux/arm64 redis:7 a.corp/redis:7 b.corp/redis:7
  regsync copy --all-tags harbor.corp/team/app oci:./mirror
  regsync copy --dry-run -o json alpine oci:./mirror`,
		Args: arguments(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), args[0], args[1:])
		},
	}
	flags := cmd.Flags()
	c.platforms.bind(flags, "all")
	flags.Var(&c.referrers, "referrers",
		"also copy signatures, attestations and other referrers; with =required no tag moves without them")
	flags.Lookup("referrers").NoOptDefVal = "true"
	completeWords(cmd, flags)
	flags.BoolVar(&c.attestations, "attestations", true, "copy the attestations that BuildKit adds to an index; =false rewrites the index without them")
	flags.BoolVar(&c.foreignLayers, "foreign-layers", false, "also copy foreign (non-distributable) layers, from their URLs if the source lacks them")
	flags.BoolVar(&c.allTags, "all-tags", false, "copy all tags of the repository SRC to the repositories DST")
	flags.BoolVar(&c.dryRun, "dry-run", false, "only read, and print what would be done")
	return cmd
}

func (c *copying) run(ctx context.Context, source string, destinations []string) error {
	if slices.Contains(c.referrers.words(), source) {
		return &usageError{fmt.Errorf("the source is %q: the value of a flag follows an equals sign, as in --referrers=required and --attestations=false", source)}
	}
	template := transfer.Job{
		RequireSource: true, ForeignLayers: c.foreignLayers,
		Referrers: c.referrers.bring, ReferrersRequired: c.referrers.required,
	}
	if !c.attestations {
		template.Attestations = transfer.AttestationsDrop
	}
	var err error
	if template.Platforms, err = c.platforms.selected(nil); err != nil {
		return err
	}
	if template.Source, err = c.parse(source); err != nil {
		return err
	}
	jobs, err := c.jobs(ctx, template, destinations)
	if err != nil {
		return err
	}
	if c.dryRun {
		return c.plan(ctx, jobs)
	}
	hints, err := c.mountHints(template.Source)
	if err != nil {
		return err
	}
	m, err := move(ctx, c.app, "copy", jobs, ui.Copying, hints)
	if err != nil {
		return err
	}
	if c.app.flags.json() {
		err = c.app.printReport(m.report, m.err)
	} else if !c.app.flags.quiet {
		err = c.report(m)
	}
	return errors.Join(err, m.err)
}

// mountHints returns the mount hints of the local store if the source is in it; otherwise nil.
func (c *copying) mountHints(source reference.Reference) (mountHints, error) {
	if source.Transport != reference.Store {
		return nil, nil
	}
	local, err := c.app.store()
	if err != nil {
		return nil, err
	}
	return local.MountHints, nil
}

// report prints what every destination has now.
func (c *copying) report(m *moved) error {
	for _, r := range m.results {
		for _, d := range r.Destinations {
			if d.Err != nil {
				continue
			}
			what := wording(d.Action)
			if d.Referrers > 0 {
				what += ", " + ui.Referrers(d.Referrers) + " copied"
			}
			if err := c.app.printLine("%s: digest: %s (%s)", d.Reference.Familiar(), d.Digest, what); err != nil {
				return err
			}
		}
	}
	return nil
}

// wording returns the past participle of an action.
func wording(action transfer.Action) string {
	switch action {
	case transfer.ActionMove:
		return "moved"
	case transfer.ActionUnchanged:
		return "unchanged"
	default:
		return "added"
	}
}

func (c *copying) plan(ctx context.Context, jobs []transfer.Job) error {
	plan, err := planJobs(ctx, c.app, jobs)
	if err != nil {
		return err
	}
	return c.app.printPlan(ctx, plan, true)
}

func (c *copying) parse(name string) (reference.Reference, error) {
	if c.allTags {
		return parseRepository(name)
	}
	return parseReference(name)
}

// jobs returns one job, or with --all-tags one for each tag.
func (c *copying) jobs(ctx context.Context, template transfer.Job, destinations []string) ([]transfer.Job, error) {
	for _, name := range destinations {
		ref, err := c.parse(name)
		if err != nil {
			return nil, err
		}
		template.Destinations = append(template.Destinations, ref)
	}
	if !c.allTags {
		return []transfer.Job{template}, nil
	}
	tags, err := listTags(ctx, c.app, template.Source, false)
	if err != nil {
		return nil, err
	}
	jobs := make([]transfer.Job, len(tags))
	for i, tag := range tags {
		jobs[i] = withTag(template, tag)
	}
	return jobs, nil
}

// withTag returns the job for one tag of a repository.
func withTag(template transfer.Job, tag string) transfer.Job {
	template.Source = template.Source.WithTag(tag)
	template.Destinations = slices.Clone(template.Destinations)
	for i, ref := range template.Destinations {
		template.Destinations[i] = ref.WithTag(tag)
	}
	return template
}
