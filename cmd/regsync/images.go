package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// imageList is one run of the command.
type imageList struct {
	app     *app
	digests bool
	details bool
	noTrunc bool
}

func newImagesCommand(a *app) *cobra.Command {
	l := &imageList{app: a}
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
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.run(cmd.Context(), args)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&l.digests, "digests", false, "also show digests")
	flags.BoolVar(&l.details, "details", false, "also show what is shared with other images, and what is not")
	flags.BoolVar(&l.noTrunc, "no-trunc", false, "show whole IDs")
	return cmd
}

func (l *imageList) run(ctx context.Context, args []string) error {
	images, err := storedImages(ctx, l.app)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if images, err = matching(images, args[0]); err != nil {
			return err
		}
	}
	warned := map[digest.Digest]bool{}
	for _, image := range images {
		if image.DateErr != nil && !warned[image.Digest] {
			warned[image.Digest] = true
			l.app.warn("image %s: %v", ui.ShortID(image.ID), image.DateErr)
		}
	}
	return errors.Join(l.print(images), unreadable(images))
}

// storedImages are those of the local store. Where there is none yet there are none, and
// none is made.
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

// unreadable tells of the images that are listed but cannot be read.
func unreadable(images []store.Image) error {
	var failed failures
	for _, i := range images {
		if i.Err != nil {
			failed.add(fmt.Errorf("image %s: %w", ui.ShortID(i.ID), i.Err))
		} else {
			failed.add(nil)
		}
	}
	return failed.err()
}

func (l *imageList) print(images []store.Image) error {
	switch {
	case l.app.flags.json():
		return l.app.printJSON(imagesDocument(images))
	case l.app.flags.quiet:
		return l.printIDs(images)
	}
	header := []string{"REPOSITORY", "TAG"}
	if l.digests {
		header = append(header, "DIGEST")
	}
	header = append(header, "IMAGE ID", "CREATED", "SIZE")
	if l.details {
		header = append(header, "SHARED", "UNIQUE")
	}
	now := time.Now()
	rows := make([][]string, len(images))
	for i, image := range images {
		rows[i] = l.row(image, now)
	}
	return l.app.printTable(header, rows)
}

func (l *imageList) row(i store.Image, now time.Time) []string {
	row := []string{cmp.Or(i.Reference.FamiliarName(), "<none>"), cmp.Or(i.Reference.Tag, "<none>")}
	if l.digests {
		row = append(row, i.Digest.String())
	}
	row = append(row, l.id(i.ID), ui.Ago(i.Created, now), ui.ImageSize(i.Size))
	if l.details {
		row = append(row, ui.ImageSize(i.Size-i.Unique), ui.ImageSize(i.Unique))
	}
	return row
}

func (l *imageList) id(id digest.Digest) string {
	if l.noTrunc {
		return id.String()
	}
	return ui.ShortID(id)
}

// printIDs prints every ID once.
func (l *imageList) printIDs(images []store.Image) error {
	var ids []string
	for _, image := range images {
		if id := l.id(image.ID); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return l.app.printLines(slices.Values(ids))
}

type imageEntry struct {
	Repository string        `json:"repository,omitempty"`
	Tag        string        `json:"tag,omitempty"`
	ID         digest.Digest `json:"id"`
	Digest     digest.Digest `json:"digest"`
	MediaType  string        `json:"mediaType"`
	Created    *time.Time    `json:"created,omitempty"`
	// Size and Unique are bytes on disk; Unique is the part that no other image needs.
	Size      int64    `json:"size"`
	Unique    int64    `json:"unique"`
	Platforms []string `json:"platforms"`
	Error     string   `json:"error,omitempty"`
}

func imagesDocument(images []store.Image) any {
	entries := make([]imageEntry, len(images))
	for i, image := range images {
		entries[i] = imageEntry{
			Repository: image.Reference.Name(), Tag: image.Reference.Tag, ID: image.ID, Digest: image.Digest,
			MediaType: image.MediaType, Size: image.Size, Unique: image.Unique,
			Platforms: formatPlatforms(image.Platforms), Error: text(image.Err),
		}
		if !image.Created.IsZero() {
			entries[i].Created = &image.Created
		}
	}
	return struct {
		Schema string       `json:"schema"`
		Images []imageEntry `json:"images"`
	}{"regsync.images/v1", entries}
}

func formatPlatforms(platforms []content.Platform) []string {
	texts := make([]string, len(platforms))
	for i, p := range platforms {
		texts[i] = content.FormatPlatform(p)
	}
	return texts
}
