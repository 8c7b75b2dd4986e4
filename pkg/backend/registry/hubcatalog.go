package registry

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// HubRepositories yields the public repositories of a namespace of Docker Hub, as
// "team/app", and ends after the first error. Its registry has no catalog for
// [Client.Repositories]. A namespace that is not there is a [content.ErrNotFound].
func (c *Client) HubRepositories(ctx context.Context, namespace string) iter.Seq2[string, error] {
	type repository struct {
		Name string `json:"name"`
	}
	return func(yield func(string, error) bool) {
		hub, err := c.hub(namespace)
		if err != nil {
			yield("", err)
			return
		}
		for page, err := range hubPages[repository](ctx, hub, "v2", "namespaces", namespace, "repositories") {
			if err != nil {
				yield("", fmt.Errorf("list the repositories of docker.io/%s: %w", namespace, err))
				return
			}
			for _, listed := range page {
				name, err := hubName(namespace, listed.Name)
				if !yield(name, err) || err != nil {
					return
				}
			}
		}
	}
}

// hub is where a namespace's listing is asked for.
func (c *Client) hub(namespace string) (*Repository, error) {
	if _, err := hubName(namespace, "any"); err != nil {
		return nil, err
	}
	h, err := c.host(reference.DockerHub)
	if err != nil {
		return nil, err
	}
	return &Repository{host: h, retry: c.options.Retry}, nil
}

// hubName puts a name together, if it is one.
func hubName(namespace, name string) (string, error) {
	full := namespace + "/" + name
	ref, err := reference.ParseRepository(reference.DockerHub + "/" + full)
	if err != nil || ref.Repository != full || strings.Count(full, "/") > 1 {
		return "", fmt.Errorf("%.100q: %w: no repository of Docker Hub", full, content.ErrInvalid)
	}
	return full, nil
}
