package main

import (
	"errors"
	"fmt"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

const storeHint = "regsync images lists what the local store has; regsync pull NAME brings an image there"

// notInStoreError is an image that the local store does not have.
type notInStoreError struct {
	name string
	hint string
}

func (e *notInStoreError) Error() string {
	return fmt.Sprintf("no image %q in the local store", e.name)
}

// Is makes it an ErrNotFound.
func (e *notInStoreError) Is(target error) bool { return target == content.ErrNotFound }

// storeError says what an error of the local store means for the image that was named.
func storeError(name string, err error) error {
	if _, ok := errors.AsType[*reference.ParseError](err); ok {
		return &usageError{err}
	}
	if errors.Is(err, content.ErrNotFound) {
		return &notInStoreError{name: name, hint: storeHint}
	}
	return err
}
