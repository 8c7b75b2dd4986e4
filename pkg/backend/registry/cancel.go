package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// Cancel implements [content.Upload] by DELETE. It has a time of its own, two seconds, since
// the caller's has often ended. A session that cannot be removed in it is left to the
// registry, which purges it.
func (u *upload) Cancel(ctx context.Context) error {
	return u.giveUp(ctx, u.r.host.client.limits.cancel)
}

// giveUp removes the session, if that can be done within patience.
func (u *upload) giveUp(ctx context.Context, patience time.Duration) error {
	if u.ended {
		return nil
	}
	u.ended = true
	if h := u.r.host; h.client.options.Limiter.Down(h.registry) {
		return nil // no answer: the session is left to the registry
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := u.remove(ctx)
	if errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrUnsupported) {
		return nil // gone, or it will be when the registry cleans up
	}
	if err != nil {
		return fmt.Errorf("cancel the upload of blob %s: %w", u.d.Digest, err)
	}
	return nil
}

// remove sends the DELETE. Distribution takes it at the newest location only, else it is a
// 416, and a body that was cut has made ours an old one. Removed while what was under way of
// that body still arrives, the session would come back; so there is a pause before each look.
func (u *upload) remove(ctx context.Context) error {
	if !u.cut {
		if err := u.drop(ctx); !isOldLocation(err) {
			return err
		}
	}
	var err error
	for _, pause := range u.r.host.client.limits.dying {
		if err := retry.Sleep(ctx, pause); err != nil {
			return err
		}
		if _, _, err := u.look(ctx); errors.Is(err, content.ErrNotFound) {
			return err
		}
		if err = u.drop(ctx); !isOldLocation(err) {
			return err
		}
	}
	return err
}

func isOldLocation(err error) bool { return statusOf(err) == http.StatusRequestedRangeNotSatisfiable }

func (u *upload) drop(ctx context.Context) error {
	resp, err := u.r.host.do(ctx, call{
		method: http.MethodDelete, url: u.location, intent: u.r.uploading(u.d),
		accept: []int{http.StatusNoContent, http.StatusAccepted, http.StatusOK},
	})
	if err == nil {
		discard(resp)
	}
	return err
}
