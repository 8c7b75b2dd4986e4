package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

const storeHint = "regsync images lists what the local store has; regsync pull NAME brings an image there"

// notInStoreError is an image that the local store does not have.
type notInStoreError struct {
	name string
	hint string
}

func (e *notInStoreError) Error() string {
	return fmt.Sprintf("no image %q in the local store", e.name)
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
type imagesFlags struct{ digests, details, noTrunc bool }

func newImagesCommand(a *app) *cobra.Command {
	var f imagesFlags
	cmd := &cobra.Command{
		Use:   "images [REPOSITORY[:TAG]]",
		Short: "List the images of the local store",
		Long: `List the images of the local store, the newest first. SIZE is what an image takes on
disk, compressed as it was pulled; images share layers, and --details says how much.
With -q only the IDs are printed.`,
		Example: `  regsync images
  regsync images --details
  regsync images -q nginx`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runImages(cmd.Context(), a, args, f) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.digests, "digests", false, "also show digests")
	flags.BoolVar(&f.details, "details", false, "also show what is shared with other images, and what is not")
	flags.BoolVar(&f.noTrunc, "no-trunc", false, "show whole IDs")
	return cmd
}

func runImages(ctx context.Context, a *app, names []string, f imagesFlags) error {
	images, err := storedImages(ctx, a)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		if images, err = matching(images, names[0]); err != nil {
			return err
		}
	}
	var unreadable failures
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
	switch {
	case a.flags.json():
		err = a.printJSON(imagesDocument(a, "regsync.images/v1", imageEntries(images), unreadable.err()))
	case a.flags.quiet:
		var ids []string
		for _, image := range images {
			if id := formatID(image.ID, f.noTrunc); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		err = printLines(a, ids)
	default:
		err = printImages(a, images, f)
	}
	return errors.Join(err, unreadable.err())
}

// storedImages lists the images of the local store. A store that does not exist has none, and is not created.
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

// matching keeps the images of a repository, or of one name.
func matching(images []store.Image, name string) ([]store.Image, error) {
	ref, err := reference.ParseRepository(name)
	if err != nil {
		if ref, err = parseReference(name); err != nil {
			return nil, err
		}
	}
	ref = ref.WithTransport(reference.Registry)
	return slices.DeleteFunc(images, func(i store.Image) bool {
		return i.Reference.Name() != ref.Name() || ref.Tag != "" && i.Reference.Tag != ref.Tag ||
			ref.Digest != "" && i.Digest != ref.Digest
	}), nil
}

func printImages(a *app, images []store.Image, f imagesFlags) error {
	header := []string{"REPOSITORY", "TAG"}
	if f.digests {
		header = append(header, "DIGEST")
	}
	header = append(header, "IMAGE ID", "CREATED", "SIZE")
	if f.details {
		header = append(header, "SHARED", "UNIQUE")
	}
	now := time.Now()
	rows := make([][]string, len(images))
	for i, image := range images {
		row := []string{cmp.Or(image.Reference.FamiliarName(), "<none>"), cmp.Or(image.Reference.Tag, "<none>")}
		if f.digests {
			row = append(row, image.Digest.String())
		}
		row = append(row, formatID(image.ID, f.noTrunc), ui.Ago(image.Created, now), ui.ImageSize(image.Size))
		if f.details {
			row = append(row, ui.ImageSize(image.Size-image.Unique), ui.ImageSize(image.Unique))
		}
		rows[i] = row
	}
	return ui.WriteTable(a.Stdout, header, rows)
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

func newHistoryCommand(a *app) *cobra.Command {
	var noTrunc bool
	cmd := &cobra.Command{
		Use:   "history IMAGE",
		Short: "Show the layers of an image of the local store",
		Long: `Show how an image of the local store was built, the last step first: the layers, and the
steps that changed no file (0B). SIZE is a layer's as it is stored, compressed. With -q only
the IDs are printed.`,
		Example: `  regsync history nginx:1.25
  regsync history --no-trunc 4bb46517cac3`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return runHistory(cmd.Context(), a, args[0], noTrunc) },
	}
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "show whole IDs and commands")
	return cmd
}

func runHistory(ctx context.Context, a *app, name string, noTrunc bool) error {
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
	if a.flags.json() {
		return a.printJSON(historyDocument(image, steps))
	}
	const maxCommand = 45 // characters, as in Docker's table
	now := time.Now()
	ids, rows := make([]string, len(steps)), make([][]string, len(steps))
	for i, step := range steps {
		ids[i] = "<missing>" // only the last step is an image of its own
		if i == 0 {
			ids[i] = formatID(image.ID, noTrunc)
		}
		command := step.CreatedBy
		if runes := []rune(ui.Clean(command)); !noTrunc && len(runes) > maxCommand {
			command = string(runes[:maxCommand-1]) + "…"
		}
		rows[i] = []string{ids[i], ui.Ago(step.Created, now), command, ui.ImageSize(step.Size), step.Comment}
	}
	if a.flags.quiet {
		return printLines(a, ids)
	}
	return ui.WriteTable(a.Stdout, []string{"IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"}, rows)
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
		Short: "Remove images from the local store",
		Long: `Remove images from the local store. A name is taken away, and with its last name the
image, together with the layers that no other image needs. An image ID is removed with all
its names, which needs -f where they are in several repositories.`,
		Example: `  regsync rmi nginx:1.25
  regsync rmi -f 4bb46517cac3`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return runRmi(cmd.Context(), a, args, force) },
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "remove an ID with its names in several repositories")
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
	var failed failures
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
		a.warn("another process writes to the local store: the space is freed by the next rmi after it")
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
		Use:   "tag SRC DST",
		Short: "Give an image of the local store another name",
		Long: `Give an image of the local store another name. SRC is a name or the first characters of
an image ID. It touches no registry: regsync push brings the image there, and
regsync copy SRC DST tags what is at a registry already.`,
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
		return usagef("%s has a digest: a new name has a tag only", name)
	}
	local, err := a.store()
	if err != nil {
		return err
	}
	err = storeError(source, local.Tag(ctx, source, ref))
	mayBeID := strings.Trim(strings.TrimPrefix(source, "sha256:"), "0123456789abcdef") == ""
	if missing, ok := errors.AsType[*notInStoreError](err); ok && !mayBeID {
		missing.hint = "for an image at a registry: regsync copy " + source + " " + name
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
