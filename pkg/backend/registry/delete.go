package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/regsync/regsync/pkg/content"
)

// Delete implements [content.Deleter]. A registry that keeps what it has answers with a
// [content.ErrUnsupported] and its own words.
func (r *Repository) Delete(ctx context.Context, reference string) error {
	if err := r.check(reference); err != nil {
		return err
	}
	attempts := 0
	err := r.item(ctx, call{
		method: http.MethodDelete, url: r.manifestURL(reference), intent: r.deleting(),
		accept: []int{http.StatusAccepted, http.StatusOK, http.StatusNoContent},
	}, func(ctx context.Context, c call) error {
		attempts++
		err := r.once(ctx, c, nothing)
		if attempts > 1 && errors.Is(err, content.ErrNotFound) {
			return nil // the answer to an earlier attempt was lost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", reference, err)
	}
	return nil
}
