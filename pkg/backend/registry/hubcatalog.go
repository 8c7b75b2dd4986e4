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
// [Client.Repositories]. A namespace that is not there is a [content.ErrNotFound]. A
// [content.InvalidNamesError] follows all valid names.
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
		listed := namesOf(hub, "repositories", hubPages[repository](ctx, hub, "v2", "namespaces", namespace, "repositories"),
			func(page []repository) []string {
				names := make([]string, len(page))
				for i, listed := range page {
					names[i] = namespace + "/" + listed.Name
				}
				return names
			})
		for name, err := range content.ValidNames("repository name", checkHubName, listed) {
			if _, failure := content.SplitInvalidNames(err); failure != nil {
				err = fmt.Errorf("list the repositories of docker.io/%s: %w", namespace, failure)
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

// hub is where a namespace's listing is asked for.
func (c *Client) hub(namespace string) (*Repository, error) {
	if err := checkHubName(namespace + "/any"); err != nil {
		return nil, err
	}
	h, err := c.host(reference.DockerHub)
	if err != nil {
		return nil, err
	}
	return &Repository{host: h}, nil
}

// checkHubName refuses what is no repository of Docker Hub, NAMESPACE/NAME.
func checkHubName(name string) error {
	if reference.CheckRepository(name) != nil || strings.Count(name, "/") != 1 {
		return fmt.Errorf("%.100q: %w: no repository of Docker Hub", name, content.ErrInvalid)
	}
	return nil
}
