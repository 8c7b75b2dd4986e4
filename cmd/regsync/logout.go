package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/reference"
)

func newLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [HOST[/PATH]]",
		Short: "Log out of a registry",
		Long: `Log out of a registry: remove the credentials that regsync login or docker login stored for
HOST, from Docker's config.json and its credential helper. With PATH, only those for that
path are removed. Without HOST, the registry is Docker Hub.`,
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
	removed := err == nil
	var lines []string
	switch {
	case a.flags.quiet:
	case removed:
		lines = []string{"Removing login credentials for " + host}
	default:
		lines = []string{"Not logged in to " + host}
	}
	return printResult(a, struct {
		Schema   string `json:"schema"`
		Registry string `json:"registry"`
		Removed  bool   `json:"removed"` // false if there was no login
	}{"regsync.logout/v1", host, removed}, lines...)
}
