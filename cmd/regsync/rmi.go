package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/backend/store"
)

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
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRmi(cmd.Context(), a, args, force)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "remove an ID with its names in several repositories")
	return cmd
}

// removed is what became of one argument.
type removed struct {
	Image    string   `json:"image"`
	Untagged []string `json:"untagged,omitempty"`
	Deleted  []string `json:"deleted,omitempty"`
	// Freed is bytes on disk.
	Freed int64  `json:"freed"`
	Error string `json:"error,omitempty"`
}

func runRmi(ctx context.Context, a *app, names []string, force bool) error {
	local, err := a.store()
	if err != nil {
		return err
	}
	var failed failures
	results := make([]removed, len(names))
	for i, name := range names {
		removal, err := local.Remove(ctx, name, force)
		if err != nil {
			err = storeError(name, err)
			results[i] = removed{Image: name, Error: err.Error()}
		} else {
			results[i] = newRemoved(name, removal)
			warnDeferred(a, removal)
			err = printRemoved(a, results[i])
		}
		failed.add(err)
	}
	if a.flags.json() {
		err = a.printJSON(struct {
			Schema string    `json:"schema"`
			Images []removed `json:"images"`
		}{"regsync.rmi/v1", results})
	}
	return errors.Join(err, failed.err())
}

func newRemoved(name string, removal *store.Removal) removed {
	r := removed{Image: name, Untagged: removal.Untagged, Freed: removal.Freed}
	for _, id := range removal.Deleted {
		r.Deleted = append(r.Deleted, id.String())
	}
	return r
}

func warnDeferred(a *app, removal *store.Removal) {
	if removal.Deferred {
		a.warn("another process writes to the local store: the space is freed by the next rmi after it")
	}
}

// printRemoved says what docker rmi says.
func printRemoved(a *app, r removed) error {
	if a.flags.json() || a.flags.quiet {
		return nil
	}
	for _, name := range r.Untagged {
		if err := a.printLine("Untagged: %s", name); err != nil {
			return err
		}
	}
	for _, id := range r.Deleted {
		if err := a.printLine("Deleted: %s", id); err != nil {
			return err
		}
	}
	return nil
}
