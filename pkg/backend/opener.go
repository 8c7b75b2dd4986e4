// Package backend opens the places that references name: repositories of registries, OCI
// image layouts, the local store. What each of them is, is in the package below this one
// that bears its name; which transport is which is the table in this file.
//
// Start at [New]. An Opener serves a whole run and is to be closed at its end.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Options are what an Opener opens places with.
type Options struct {
	// Registry reaches registries; an anonymous client if nil. The opener does not close it.
	Registry *registry.Client
	// Store is the directory of the local store. It is made when something is first
	// written to it.
	Store string
}

// Opener turns references into places. It gives the same value for the same place each
// time, and may be used concurrently.
type Opener struct {
	options Options
	opening sync.WaitGroup
	sources places
	targets places
	layouts flight.Memo[string, *layout.Layout]
	stores  flight.Memo[string, *store.Store]

	mu     sync.Mutex
	closed []io.Closer // by Close
}

// places are those that were opened to read from them, or to write to them.
type places = flight.Memo[reference.Reference, content.Target]

// New makes an opener. It opens nothing yet.
func New(options Options) *Opener {
	if options.Registry == nil {
		options.Registry = registry.New(registry.Options{})
	}
	return &Opener{options: options}
}

// UnsupportedTransportError is a kind of place that regsync knows by name only. It is a
// [content.ErrUnsupported].
type UnsupportedTransportError struct{ Transport reference.Transport }

func (e *UnsupportedTransportError) Error() string {
	return fmt.Sprintf("%s: is not supported yet", e.Transport)
}

// Is makes it an ErrUnsupported.
func (e *UnsupportedTransportError) Is(target error) bool { return target == content.ErrUnsupported }

// OpenSource opens the place of ref to read from it. There must be one.
func (o *Opener) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	return o.open(ctx, &o.sources, ref, o.options.Registry.Repository, layout.Open)
}

// OpenTarget opens the place of ref to write to it. A directory is made if need be.
func (o *Opener) OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	return o.open(ctx, &o.targets, ref, o.options.Registry.Target, layout.OpenOrCreate)
}

func (o *Opener) open(
	ctx context.Context, opened *places, ref reference.Reference,
	repository func(context.Context, reference.Reference) (*registry.Repository, error), directory func(path string) (*layout.Layout, error),
) (content.Target, error) {
	place, _, err := opened.Do(ctx, &o.opening, ref.WithoutIdentifier(), func(ctx context.Context) (content.Target, error) {
		switch ref.Transport {
		case reference.Registry:
			return repository(ctx, ref)
		case reference.Layout:
			return o.layout(ctx, ref, directory)
		case reference.Store:
			local, err := o.Store()
			if err != nil {
				return nil, err
			}
			return local.Repository(ref), nil
		default:
			return nil, &UnsupportedTransportError{ref.Transport}
		}
	})
	return place, err
}

// PreviewTarget opens the place of ref to plan what would be written to it. It makes no directory: a
// layout that does not exist is an empty one.
func (o *Opener) PreviewTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	if ref.Transport != reference.Layout {
		return o.OpenTarget(ctx, ref)
	}
	return o.layout(ctx, ref, layout.Preview)
}

// layout is the one in a directory, by the same value however the path was written, so that
// reading and writing share what is known of its blobs; or a repository of it.
func (o *Opener) layout(ctx context.Context, ref reference.Reference, open func(path string) (*layout.Layout, error)) (content.Target, error) {
	opened, err := open(ref.Path)
	if err != nil {
		return nil, err
	}
	l, _, err := o.layouts.Do(ctx, &o.opening, opened.Path(), func(context.Context) (*layout.Layout, error) {
		o.closeLater(opened)
		return opened, nil
	})
	if err != nil || ref.Repository == "" {
		return l, err
	}
	return l.Repository(string(reference.Layout), ref.Registry+"/"+ref.Repository), nil
}

func (o *Opener) closeLater(c io.Closer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = append(o.closed, c)
}

// ErrNoStore says that [Options] name no directory for the local store.
var ErrNoStore = errors.New("no directory is configured")

// Store is the local store, created if it does not exist; without a directory for it, an
// [ErrNoStore].
func (o *Opener) Store() (*store.Store, error) { return o.store(store.Open) }

// ExistingStore is the local store to read from; if it does not exist, a
// [content.ErrNotFound].
func (o *Opener) ExistingStore() (*store.Store, error) { return o.store(store.OpenExisting) }

func (o *Opener) store(open func(dir string) (*store.Store, error)) (*store.Store, error) {
	if o.options.Store == "" {
		return nil, fmt.Errorf("open the local store: %w", ErrNoStore)
	}
	s, _, err := o.stores.Do(context.Background(), &o.opening, o.options.Store, func(context.Context) (*store.Store, error) {
		s, err := open(o.options.Store)
		if err == nil {
			o.closeLater(s)
		}
		return s, err
	})
	return s, err
}

// Close ends writing to directories: it frees their locks. What was opened is not to be
// used any more.
func (o *Opener) Close() error {
	o.opening.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, c := range o.closed {
		errs = append(errs, c.Close())
	}
	o.closed = nil
	return errors.Join(errs...)
}

// CheckWrite finds out whether the place of ref could be written to, and leaves nothing
// there: at a registry an upload is opened and cancelled, a directory is only looked at. A
// registry may make an empty repository by that, which it does not list.
func (o *Opener) CheckWrite(ctx context.Context, ref reference.Reference) error {
	switch ref.Transport {
	case reference.Registry:
		r, err := o.options.Registry.Target(ctx, ref)
		if err != nil {
			return err
		}
		return r.CheckWrite(ctx)
	case reference.Layout:
		return layout.CheckWrite(ref.Path)
	case reference.Store:
		_, err := o.Store()
		return err
	default:
		return &UnsupportedTransportError{ref.Transport}
	}
}
