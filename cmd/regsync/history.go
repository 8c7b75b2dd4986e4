package main

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/pkg/backend/store"
)

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
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHistory(cmd.Context(), a, args[0], noTrunc)
		},
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
	return printHistory(a, image.ID, steps, noTrunc)
}

// maxCommand is the columns of a command in the table, as in Docker's.
const maxCommand = 45

func printHistory(a *app, id digest.Digest, steps []store.Step, noTrunc bool) error {
	now := time.Now()
	rows := make([][]string, len(steps))
	for i, step := range steps {
		command := step.CreatedBy
		shown := "<missing>" // only the last step is an image of its own
		switch {
		case i == 0 && noTrunc:
			shown = id.String()
		case i == 0:
			shown = ui.ShortID(id)
		}
		if !noTrunc {
			command = cut(ui.Clean(command), maxCommand)
		}
		rows[i] = []string{shown, ui.Ago(step.Created, now), command, ui.ImageSize(step.Size), step.Comment}
	}
	if a.flags.quiet {
		return a.printLines(func(yield func(string) bool) {
			for _, row := range rows {
				if !yield(row[0]) {
					return
				}
			}
		})
	}
	return a.printTable([]string{"IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"}, rows)
}

// cut shortens a text to so many characters.
func cut(s string, length int) string {
	if runes := []rune(s); len(runes) > length {
		return string(runes[:length-1]) + "…"
	}
	return s
}

type stepDocument struct {
	Created   *time.Time `json:"created,omitempty"`
	CreatedBy string     `json:"createdBy,omitempty"`
	Comment   string     `json:"comment,omitempty"`
	// Layer is what the step added; absent for a step that changed the config alone.
	Layer digest.Digest `json:"layer,omitempty"`
	Size  int64         `json:"size"`
}

func historyDocument(image store.Image, steps []store.Step) any {
	documents := make([]stepDocument, len(steps))
	for i, step := range steps {
		documents[i] = stepDocument{CreatedBy: step.CreatedBy, Comment: step.Comment, Layer: step.Layer, Size: step.Size}
		if !step.Created.IsZero() {
			documents[i].Created = &steps[i].Created
		}
	}
	return struct {
		Schema string         `json:"schema"`
		ID     digest.Digest  `json:"id"`
		Steps  []stepDocument `json:"steps"`
	}{"regsync.history/v1", image.ID, documents}
}
