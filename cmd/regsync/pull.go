package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

func newPullCommand(a *app) *cobra.Command {
	var platforms platformFlags
	cmd := &cobra.Command{
		Use:   "pull REF",
		Short: "Pull an image from a registry into the local store",
		Long: `Pull an image from a registry into the local store: of an index, the manifest of the
host's platform, with its own digest. What is pulled by digest is called REPOSITORY@DIGEST
in the local store, with the digest of what was kept. With -q only the image's name is
printed.`,
		Example: `  regsync pull nginx:1.25
  regsync pull --platform linux/arm64 alpine
  regsync pull --all-platforms harbor.corp/team/app:1.2`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			selected, err := platforms.selected([]content.Platform{content.HostPlatform()})
			if err != nil {
				return err
			}
			return runPull(cmd.Context(), a, args[0], selected)
		},
	}
	platforms.bind(cmd.Flags(), "the host's")
	return cmd
}

func runPull(ctx context.Context, a *app, name string, platforms []content.Platform) error {
	ref, err := parseAtRegistry(name)
	if err != nil {
		return err
	}
	m, err := move(ctx, a, "pull", []transfer.Job{{
		Source: ref, Destinations: []reference.Reference{pulledTo(ref)}, Platforms: platforms, RequireSource: true,
	}}, ui.Pulling, nil)
	if err != nil {
		return err
	}
	if m.err == nil {
		err = recordSeen(ctx, a, m.results[0], ref)
		return errors.Join(err, reportPull(a, pulledAs(ref, m.results[0]), m))
	}
	if a.flags.json() {
		err = a.printReport(m.report, m.err)
	}
	return errors.Join(err, m.err)
}

// pulledTo is where an image is kept. As with Docker, what is pulled by digest gets no tag;
// its digest may be another one than that of the index it is from.
func pulledTo(ref reference.Reference) reference.Reference {
	to := ref.WithTransport(reference.Store)
	if ref.Digest != "" {
		return to.WithoutIdentifier()
	}
	return to
}

// pulledAs is the name that finds the image in the store: of what was pulled by the digest
// of an index, the digest of the manifest that was kept.
func pulledAs(ref reference.Reference, r *transfer.Result) reference.Reference {
	if ref.Digest == "" {
		return ref
	}
	return ref.WithDigest(r.Digest)
}

// seen tells the store which repository has an image, so that its blobs may be mounted.
func recordSeen(ctx context.Context, a *app, r *transfer.Result, at reference.Reference) error {
	local, err := a.store()
	if err != nil {
		return err
	}
	return local.Seen(ctx, r.Digest, at)
}

// reportPull says what docker pull says.
func reportPull(a *app, ref reference.Reference, m *moved) error {
	if a.flags.json() {
		return a.printReport(m.report, m.err)
	}
	if a.flags.quiet {
		return a.printLine("%s", ref)
	}
	status := "Image is up to date for "
	if m.results[0].Destinations[0].Action != transfer.ActionUnchanged {
		status = "Downloaded newer image for "
	}
	return a.printLines(slices.Values([]string{
		"Digest: " + m.results[0].Digest.String(), "Status: " + status + ref.Familiar(), ref.String(),
	}))
}
