package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/reference"
)

// logoutResult is what --output json prints.
type logoutResult struct {
	Schema   string `json:"schema"`
	Registry string `json:"registry"`
	// Removed is false where nobody was logged in.
	Removed bool `json:"removed"`
}

func newLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [HOST[/PATH]]",
		Short: "Log out of a registry",
		Long: `Log out of a registry: remove what regsync login or docker login keep for HOST, or with
PATH for it alone, from docker's config.json and its credential helper. Without HOST it is
Docker Hub.`,
		Example: `  regsync logout
  regsync logout harbor.corp:5443`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			registry := ""
			if len(args) > 0 {
				registry = args[0]
			}
			return logout(cmd.Context(), a, registry)
		},
	}
}

func logout(ctx context.Context, a *app, registry string) error {
	host, path, err := reference.ParseRegistry(registry)
	if err != nil {
		return &usageError{err}
	}
	file, err := auth.DockerFile(a.getenv)
	if err != nil {
		return err
	}
	err = file.Remove(ctx, host, path)
	if err != nil && !errors.Is(err, auth.ErrNotFound) {
		return err
	}
	if path != "" {
		host += "/" + path
	}
	return reportLogout(a, host, err == nil)
}

func reportLogout(a *app, registry string, removed bool) error {
	switch {
	case a.flags.json():
		return a.printJSON(logoutResult{Schema: "regsync.logout/v1", Registry: registry, Removed: removed})
	case a.flags.quiet:
		return nil
	case !removed:
		return a.printLine("Not logged in to %s", registry)
	}
	return a.printLine("Removing login credentials for %s", registry)
}
