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
	sources opened[reference.Reference, content.Source]
	targets opened[reference.Reference, content.Target]
	layouts opened[string, *layout.Layout]
	stores  opened[string, *store.Store]
}

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
	return o.sources.open(ref.WithoutIdentifier(), func() (content.Source, error) {
		switch ref.Transport {
		case reference.Registry:
			return o.options.Registry.Repository(ctx, ref)
		case reference.Layout:
			return o.layout(ref.Path, false)
		case reference.Store:
			return o.repository(ref)
		default:
			return nil, &UnsupportedTransportError{ref.Transport}
		}
	})
}

// OpenTarget opens the place of ref to write to it. A directory is made if need be.
func (o *Opener) OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error) {
	return o.targets.open(ref.WithoutIdentifier(), func() (content.Target, error) {
		switch ref.Transport {
		case reference.Registry:
			return o.options.Registry.Target(ctx, ref)
		case reference.Layout:
			return o.layout(ref.Path, true)
		case reference.Store:
			return o.repository(ref)
		default:
			return nil, &UnsupportedTransportError{ref.Transport}
		}
	})
}

// layout is the one in a directory, by the same value however the path was written, so that
// reading and writing share what is known of its blobs.
func (o *Opener) layout(path string, create bool) (*layout.Layout, error) {
	open := layout.Open
	if create {
		open = layout.OpenOrCreate
	}
	l, err := open(path)
	if err != nil {
		return nil, err
	}
	return o.layouts.open(l.Path(), func() (*layout.Layout, error) { return l, nil })
}

// ErrNoStore says that [Options] name no directory for the local store.
var ErrNoStore = errors.New("no directory is set")

// Store is the local store, made where there is none; without a directory for it, an
// [ErrNoStore].
func (o *Opener) Store() (*store.Store, error) { return o.store(store.Open) }

// ExistingStore is the local store to read from; where there is none, a
// [content.ErrNotFound].
func (o *Opener) ExistingStore() (*store.Store, error) { return o.store(store.OpenExisting) }

func (o *Opener) store(open func(dir string) (*store.Store, error)) (*store.Store, error) {
	if o.options.Store == "" {
		return nil, fmt.Errorf("open the local store: %w", ErrNoStore)
	}
	return o.stores.open(o.options.Store, func() (*store.Store, error) { return open(o.options.Store) })
}

func (o *Opener) repository(ref reference.Reference) (*store.Repository, error) {
	s, err := o.Store()
	if err != nil {
		return nil, err
	}
	return s.Repository(ref), nil
}

// Close ends writing to directories: it frees their locks. What was opened is not to be
// used any more.
func (o *Opener) Close() error {
	var errs []error
	for _, l := range o.layouts.take() {
		errs = append(errs, l.Close())
	}
	for _, s := range o.stores.take() {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
