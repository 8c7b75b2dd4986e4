package registry

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// opening are the requests whose answer may be an upload session.
func opening() map[string]func(context.Context, *Repository) error {
	return map[string]func(context.Context, *Repository) error{
		"upload": func(ctx context.Context, r *Repository) error {
			_, err := r.StartUpload(ctx, layer(10).Descriptor)
			return err
		},
		"mount": func(ctx context.Context, r *Repository) error {
			_, err := r.Mount(ctx, layer(10).Descriptor, "other")
			return err
		},
	}
}

// A run that was interrupted while uploads were being opened left them open: the answers
// that named them came too late.
func TestUploadOpenedWhileTheCallerLeft(t *testing.T) {
	for name, open := range opening() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, leave := context.WithCancel(t.Context())
				r, seen := bubbled(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.Method == http.MethodDelete {
						w.WriteHeader(http.StatusNoContent)
						return
					}
					leave()
					select {
					case <-req.Context().Done():
					case <-time.After(50 * time.Millisecond):
					}
					w.Header().Set("Location", "/session")
					w.WriteHeader(http.StatusAccepted)
				}))
				if err := open(ctx, r); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want that it was cancelled", err)
				}
				if seen.count("POST") != 1 || seen.count("DELETE /session") != 1 {
					t.Errorf("requests %q, want a POST, and a DELETE of its session", seen.lines())
				}
			})
		})
	}
}

func TestLingerEnds(t *testing.T) {
	for name, open := range opening() {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			over := make(chan struct{})
			host, _ := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				leave()
				<-over
			}))
			t.Cleanup(func() { close(over) })
			c := newClient(t, Options{Retry: quick()})
			c.wire.Limits.Linger = 20 * time.Millisecond
			if err := open(ctx, target(t, c, host, "a")); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want that it was cancelled", err)
			}
		})
	}
}

func TestNothingIsOpenedForACallerWhoLeft(t *testing.T) {
	host, seen := serve(t, newRegistry(t))
	ctx, leave := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	leave(gone)
	u := &upload{caller: target(t, newClient(t, Options{}), host, "a").caller, d: layer(10).Descriptor}
	if err := u.open(ctx, u.opening()); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
	if seen.count("") != 0 {
		t.Errorf("requests %q, want none", seen.lines())
	}
}
