package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// hubTag is what Docker Hub's API tells of a tag, as far as it is used.
type hubTag struct {
	Name string `json:"name"`
	// LastPushed is null for tags of early days.
	LastPushed string `json:"tag_last_pushed"`
}

// Pushed implements [content.PushTimer] for public repositories of Docker Hub. It costs one
// request for every hundred tags, and no pull. No other registry tells it.
func (r *Repository) Pushed(ctx context.Context) (map[string]time.Time, error) {
	if r.host.registry != reference.DockerHub {
		return nil, fmt.Errorf("%s does not tell when a tag was pushed: %w", r.host.name, content.ErrUnsupported)
	}
	namespace, name, _ := strings.Cut(r.name, "/")
	times := map[string]time.Time{}
	bound, listed := r.host.client.limits.names, 0
	for page, err := range hubPages[hubTag](ctx, r, "v2", "namespaces", namespace, "repositories", name, "tags") {
		if err != nil {
			return nil, r.noPushTimes(err)
		}
		if listed += len(page); listed > bound {
			return nil, r.noPushTimes(r.tooMany(bound, "tags"))
		}
		for _, tag := range page {
			if reference.CheckTag(tag.Name) == nil { // Tags reports the others
				times[tag.Name] = tag.pushed()
			}
		}
	}
	return times, nil
}

// pushed is zero where it is not told.
func (t hubTag) pushed() time.Time {
	at, err := time.Parse(time.RFC3339, t.LastPushed)
	if err != nil {
		return time.Time{}
	}
	return at
}

// noPushTimes explains an error: the API answers 404 for what is private.
func (r *Repository) noPushTimes(err error) error {
	if errors.Is(err, content.ErrNotFound) {
		err = fmt.Errorf("told of public repositories only: %w: %w", content.ErrUnsupported, err)
	}
	return fmt.Errorf("push times of %s/%s: %w", r.host.name, r.name, err)
}
