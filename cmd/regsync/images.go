package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

const storeHint = "regsync images lists the images in the local store; regsync pull NAME downloads one"

// notInStoreError is an image that is not in the local store.
type notInStoreError struct {
	name string
	hint string
}

func (e *notInStoreError) Error() string {
	return "no such image in the local store: " + e.name
}

// Is makes it an ErrNotFound.
func (e *notInStoreError) Is(target error) bool { return target == content.ErrNotFound }

// storeError says what an error of the local store means for the image that was named.
func storeError(name string, err error) error {
	if _, ok := errors.AsType[*reference.ParseError](err); ok {
		return &usageError{err}
	}
	if errors.Is(err, content.ErrNotFound) {
		return &notInStoreError{name: name, hint: storeHint}
	}
	return err
}

// imagesFlags are the flags of images.
type imagesFlags struct {
	digests, details, noTrunc bool
	format                    formatFlag[imageRow]
}

func newImagesCommand(a *app) *cobra.Command {
	var f imagesFlags
	cmd := &cobra.Command{
		Use:   "images [REPOSITORY[:TAG]]",
		Short: "List the images in the local store",
		Long: `List the images in the local store, newest first. SIZE is the compressed size
of the image on disk. Images share layers; --details shows how much.

REPOSITORY[:TAG] may contain the wildcards *, ? and [a-z]; * does not match a slash. With -q,
only the IDs are printed.`,
		Example: `  regsync images
  regsync images nginx
  regsync images 'harbor.corp/team/*:1.*'
  regsync images --format 'table {{.Repository}}\t{{.Tag}}\t{{.Size}}'`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runImages(cmd.Context(), a, args, f) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.digests, "digests", false, "show digests")
	flags.BoolVar(&f.details, "details", false, "show how much is shared with other images")
	flags.BoolVar(&f.noTrunc, "no-trunc", false, "don't truncate IDs")
	f.format.bind(flags)
	return cmd
}

func runImages(ctx context.Context, a *app, patterns []string, f imagesFlags) error {
	printer, err := f.format.parse(a)
	if err != nil {
		return err
	}
	images, err := storedImages(ctx, a)
	if err != nil {
		return err
	}
	for _, pattern := range patterns {
		if images, err = matching(images, pattern); err != nil {
			return err
		}
	}
	unreadable := warnUnreadable(a, images)
	switch {
	case a.flags.json():
		err = a.printJSON(imagesDocument(a, "regsync.images/v1", imageEntries(images), unreadable.err()))
	case printer != nil:
		err = printFormatted(a, printer, imageRows(images, f.noTrunc))
	case a.flags.quiet:
		var ids []string
		for _, image := range images {
			if id := formatID(image.ID, f.noTrunc); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		err = printLines(a, ids)
	default:
		err = printTable(a, f.table(), imageRows(images, f.noTrunc))
	}
	return errors.Join(err, unreadable.err())
}

// table is the template of the standard output.
func (f *imagesFlags) table() string {
	columns := `{{.Repository}}\t{{.Tag}}`
	if f.digests {
		columns += `\t{{.Digest}}`
	}
	columns += `\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`
	if f.details {
		columns += `\t{{.SharedSize}}\t{{.UniqueSize}}`
	}
	return columns
}

// warnUnreadable warns about dates that are none, and returns the errors of images that cannot be read.
func warnUnreadable(a *app, images []store.Image) *failures {
	unreadable := &failures{items: "images"}
	warned := map[digest.Digest]bool{}
	for _, image := range images {
		if image.DateErr != nil && !warned[image.Digest] {
			warned[image.Digest] = true
			a.warn("image %s: %v", ui.ShortID(image.ID), image.DateErr)
		}
		if image.Err != nil {
			unreadable.add(fmt.Errorf("image %s: %w", ui.ShortID(image.ID), image.Err))
		} else {
			unreadable.add(nil)
		}
	}
	return unreadable
}

// storedImages lists the images in the local store. A store that does not exist has none, and is not created.
func storedImages(ctx context.Context, a *app) ([]store.Image, error) {
	opener, err := a.opener()
	if err != nil {
		return nil, err
	}
	local, err := opener.ExistingStore()
	if errors.Is(err, content.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	images, err := local.Images(ctx)
	invalid, err := content.SplitInvalidNames(err)
	if invalid != nil {
		a.warn("the local store: %v", invalid)
	}
	return images, err
}

// matching keeps the images whose name matches a pattern: with or without the tag or digest, in the short or in the full form.
func matching(images []store.Image, pattern string) ([]store.Image, error) {
	pattern = strings.TrimPrefix(pattern, string(reference.Store)+":")
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, usagef("%q: invalid pattern; wildcards are *, ? and [a-z]", pattern)
	}
	return slices.DeleteFunc(images, func(image store.Image) bool {
		ref := image.Reference
		names := []string{ref.FamiliarName(), ref.Name(), ref.Familiar(), ref.String()}
		if !ref.IsZero() {
			at := ref.WithDigest(image.Digest)
			names = append(names, at.Familiar(), at.String())
		}
		return !slices.ContainsFunc(names, func(name string) bool {
			matched, err := path.Match(pattern, name)
			return matched && err == nil
		})
	}), nil
}

// imageRow is an image as a template sees it, with the fields that docker images has.
type imageRow struct {
	Repository   string `header:"REPOSITORY"`
	Tag          string `header:"TAG"`
	ID           string `header:"IMAGE ID"`
	Digest       string `header:"DIGEST"`
	CreatedSince string `header:"CREATED"`
	CreatedAt    string `header:"CREATED AT"`
	Size         string `header:"SIZE"`
	SharedSize   string `header:"SHARED"`
	UniqueSize   string `header:"UNIQUE"`
}

func imageRows(images []store.Image, noTrunc bool) []imageRow {
	now := time.Now()
	rows := make([]imageRow, len(images))
	for i, image := range images {
		rows[i] = imageRow{
			Repository:   cmp.Or(safe.Clean(image.Reference.FamiliarName()), "<none>"),
			Tag:          cmp.Or(safe.Clean(image.Reference.Tag), "<none>"),
			ID:           formatID(image.ID, noTrunc),
			Digest:       image.Digest.String(),
			CreatedSince: ui.Ago(image.Created, now),
			CreatedAt:    createdAt(image.Created, "2006-01-02 15:04:05 -0700 MST"),
			Size:         ui.ImageSize(image.Size),
			SharedSize:   ui.ImageSize(image.Size - image.Unique),
			UniqueSize:   ui.ImageSize(image.Unique),
		}
	}
	return rows
}

// createdAt returns a date in local time, or N/A if none is known.
func createdAt(date time.Time, layout string) string {
	if date.IsZero() {
		return "N/A"
	}
	return date.Local().Format(layout)
}

// formatID returns an ID as a table shows it: twelve digits, or with --no-trunc all of it.
func formatID(id digest.Digest, noTrunc bool) string {
	if noTrunc {
		return id.String()
	}
	return ui.ShortID(id)
}

type imageEntry struct {
	Repository string        `json:"repository,omitempty"`
	Tag        string        `json:"tag,omitempty"`
	ID         digest.Digest `json:"id"`
	Digest     digest.Digest `json:"digest"`
	MediaType  string        `json:"mediaType"`
	Created    time.Time     `json:"created,omitzero"`
	// Size and Unique are bytes on disk; Unique is the part that no other image needs.
	Size      int64    `json:"size"`
	Unique    int64    `json:"unique"`
	Platforms []string `json:"platforms"`
	Error     string   `json:"error,omitempty"`
}

func imageEntries(images []store.Image) []imageEntry {
	entries := make([]imageEntry, len(images))
	for i, image := range images {
		entries[i] = imageEntry{
			Repository: image.Reference.Name(), Tag: image.Reference.Tag, ID: image.ID, Digest: image.Digest,
			MediaType: image.MediaType, Created: image.Created, Size: image.Size, Unique: image.Unique,
			Platforms: formatPlatforms(image.Platforms), Error: text(image.Err),
		}
	}
	return entries
}

func formatPlatforms(platforms []content.Platform) []string {
	texts := make([]string, len(platforms))
	for i, p := range platforms {
		texts[i] = content.FormatPlatform(p)
	}
	return texts
}

// historyFlags are the flags of history.
type historyFlags struct {
	noTrunc bool
	format  formatFlag[stepRow]
}

func newHistoryCommand(a *app) *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history IMAGE",
		Short: "Show the history of an image",
		Long: `Show how an image in the local store was built, newest step first. SIZE is the compressed size
of the layer that the step added, or 0B if it changed no files. With -q, only the IDs are
printed.`,
		Example: `  regsync history nginx:1.25
  regsync history --no-trunc 4bb46517cac3
  regsync history --format '{{.Size}}\t{{.CreatedBy}}' nginx:1.25`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runHistory(cmd.Context(), a, args[0], f) },
	}
	cmd.Flags().BoolVar(&f.noTrunc, "no-trunc", false, "don't truncate IDs and commands")
	f.format.bind(cmd.Flags())
	return cmd
}

func runHistory(ctx context.Context, a *app, name string, f historyFlags) error {
	printer, err := f.format.parse(a)
	if err != nil {
		return err
	}
	local, err := a.store()
	if err != nil {
		return err
	}
	image, err := local.Find(ctx, name)
	if err != nil {
		return storeError(name, err)
	}
	steps, err := local.History(ctx, name)
	if err != nil {
		return err
	}
	rows := stepRows(image, steps, f.noTrunc)
	switch {
	case a.flags.json():
		return a.printJSON(historyDocument(image, steps))
	case printer != nil:
		return printFormatted(a, printer, rows)
	case a.flags.quiet:
		ids := make([]string, len(rows))
		for i, row := range rows {
			ids[i] = row.ID
		}
		return printLines(a, ids)
	default:
		return printTable(a, `{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`, rows)
	}
}

// stepRow is a step of a build as a template sees it, with the fields that docker history has.
type stepRow struct {
	ID           string `header:"IMAGE"`
	CreatedSince string `header:"CREATED"`
	CreatedAt    string `header:"CREATED AT"`
	CreatedBy    string `header:"CREATED BY"`
	Size         string `header:"SIZE"`
	Comment      string `header:"COMMENT"`
}

func stepRows(image store.Image, steps []store.Step, noTrunc bool) []stepRow {
	const maxCommand = 45 // characters, as in Docker's table
	now := time.Now()
	rows := make([]stepRow, len(steps))
	for i, step := range steps {
		command := safe.Clean(step.CreatedBy)
		if runes := []rune(command); !noTrunc && len(runes) > maxCommand {
			command = string(runes[:maxCommand-1]) + "…"
		}
		rows[i] = stepRow{
			ID:           "<missing>", // only the last step is an image of its own
			CreatedSince: ui.Ago(step.Created, now),
			CreatedAt:    createdAt(step.Created, time.RFC3339),
			CreatedBy:    command,
			Size:         ui.ImageSize(step.Size),
			Comment:      safe.Clean(step.Comment),
		}
		if i == 0 {
			rows[i].ID = formatID(image.ID, noTrunc)
		}
	}
	return rows
}

func historyDocument(image store.Image, steps []store.Step) any {
	type stepEntry struct {
		Created   time.Time `json:"created,omitzero"`
		CreatedBy string    `json:"createdBy,omitempty"`
		Comment   string    `json:"comment,omitempty"`
		// Layer is what the step added; absent for a step that changed the config alone.
		Layer digest.Digest `json:"layer,omitempty"`
		Size  int64         `json:"size"`
	}
	entries := make([]stepEntry, len(steps))
	for i, step := range steps {
		entries[i] = stepEntry(step)
	}
	return struct {
		Schema string        `json:"schema"`
		ID     digest.Digest `json:"id"`
		Steps  []stepEntry   `json:"steps"`
	}{"regsync.history/v1", image.ID, entries}
}

func newRmiCommand(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rmi IMAGE...",
		Short: "Remove one or more images from the local store",
		Long: `Remove one or more images from the local store. Removing a name untags the image; removing
the last name deletes the image, with the layers that no other image uses. Removing an image
ID removes all of its names; if they are in several repositories, -f is required.

To delete an image at a registry, use regsync delete.`,
		Example: `  regsync rmi nginx:1.25
  regsync rmi -f 4bb46517cac3`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return runRmi(cmd.Context(), a, args, force) },
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "remove an image ID that has names in several repositories")
	return cmd
}

func runRmi(ctx context.Context, a *app, names []string, force bool) error {
	local, err := a.store()
	if err != nil {
		return err
	}
	type removedImage struct {
		Image    string          `json:"image"`
		Untagged []string        `json:"untagged,omitempty"`
		Deleted  []digest.Digest `json:"deleted,omitempty"`
		Freed    int64           `json:"freed"` // bytes on disk
		Error    string          `json:"error,omitempty"`
	}
	failed := &failures{items: "images"}
	results := make([]removedImage, len(names))
	for i, name := range names {
		removal, err := local.Remove(ctx, name, force)
		if err != nil {
			err = storeError(name, err)
			results[i] = removedImage{Image: name, Error: err.Error()}
		} else {
			results[i] = removedImage{Image: name, Untagged: removal.Untagged, Deleted: removal.Deleted, Freed: removal.Freed}
			err = printRemoval(a, removal)
		}
		failed.add(err)
	}
	return errors.Join(printResult(a, imagesDocument(a, "regsync.rmi/v1", results, failed.err())), failed.err())
}

// printRemoval prints what docker rmi prints.
func printRemoval(a *app, removal *store.Removal) error {
	if removal.Deferred {
		a.warn("the local store is in use by another process; the next rmi frees the space")
	}
	if a.flags.json() || a.flags.quiet {
		return nil
	}
	var lines []string
	for _, name := range removal.Untagged {
		lines = append(lines, "Untagged: "+name)
	}
	for _, id := range removal.Deleted {
		lines = append(lines, "Deleted: "+id.String())
	}
	return printLines(a, lines)
}

func newTagCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
		Short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
		Long: `Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE, both in the local store. SOURCE_IMAGE
is a name or an image ID, which may be shortened. No registry is contacted: use regsync push
to upload the image, or regsync copy to tag an image that is already at a registry.`,
		Example: `  regsync tag nginx:1.25 registry.cn-hangzhou.aliyuncs.com/team/nginx:1.25
  regsync tag 4bb46517cac3 localhost:5000/app:1`,
		Args: arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return runTag(cmd.Context(), a, args[0], args[1]) },
	}
}

func runTag(ctx context.Context, a *app, source, name string) error {
	ref, err := parseAtRegistry(name)
	if err != nil {
		return err
	}
	if ref.Digest != "" {
		return usagef("refusing to create a tag with a digest reference: %s", name)
	}
	local, err := a.store()
	if err != nil {
		return err
	}
	err = storeError(source, local.Tag(ctx, source, ref))
	mayBeID := strings.Trim(strings.TrimPrefix(source, "sha256:"), "0123456789abcdef") == ""
	if missing, ok := errors.AsType[*notInStoreError](err); ok && !mayBeID {
		missing.hint = "to tag an image at a registry: regsync copy " + source + " " + name
	}
	if err != nil {
		return err
	}
	return printResult(a, struct {
		Schema string              `json:"schema"`
		Image  string              `json:"image"`
		Name   reference.Reference `json:"name"`
	}{"regsync.tag/v1", source, ref})
}
