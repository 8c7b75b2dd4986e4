package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

func newReposCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "repos HOST",
		Short: "List the repositories of a registry",
		Long: `List the repositories of a registry, one a line: those that its catalog shows to the
account. Docker Hub and Aliyun ACR serve no catalog.`,
		Example: `  regsync repos localhost:5000
  regsync repos -o json harbor.corp:5443`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRepos(cmd.Context(), a, args[0])
		},
	}
}

// noCatalogError is a registry that does not list its repositories.
type noCatalogError struct {
	host string
	err  error
}

func (e *noCatalogError) Error() string {
	return fmt.Sprintf("%s does not list its repositories: %v", e.host, e.err)
}

func (e *noCatalogError) Unwrap() error { return e.err }

func runRepos(ctx context.Context, a *app, name string) error {
	host, path, err := reference.ParseRegistry(name)
	if err != nil {
		return &usageError{err}
	}
	if path != "" {
		return usagef("%s is more than a host: regsync tags %s lists its tags", name, name)
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	repositories := []string{}
	for repository, err := range client.Repositories(ctx, host, "") {
		invalid, err := content.SplitInvalidNames(err)
		if invalid != nil {
			a.warn("%s: %v", host, invalid)
			break
		}
		if errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrUnsupported) || denied(err) {
			return &noCatalogError{host, err}
		}
		if err != nil {
			return err
		}
		repositories = append(repositories, repository)
	}
	slices.SortFunc(repositories, compareNatural)
	if a.flags.json() {
		return a.printJSON(struct {
			Schema       string   `json:"schema"`
			Registry     string   `json:"registry"`
			Repositories []string `json:"repositories"`
		}{"regsync.repos/v1", host, repositories})
	}
	return a.printLines(slices.Values(repositories))
}
