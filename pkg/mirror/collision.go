package mirror

import (
	"fmt"

	"github.com/regsync/regsync/pkg/reference"
)

// CollisionError is a tag that two different images are to be written to.
type CollisionError struct {
	Destination reference.Reference
	// Source is the image that is refused.
	Source reference.Reference
	// First is the one that is written, for the entry of that name.
	First reference.Reference
	Entry string
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("%s is not written to %s, which is written from %s already (entry %s)",
		e.Source.Familiar(), e.Destination.Familiar(), e.First.Familiar(), e.Entry)
}
