package layout

import (
	"fmt"

	"github.com/regsync/regsync/pkg/content"
)

// NoLayoutError is a path where there is no layout at all. It is a [content.ErrNotFound].
type NoLayoutError struct {
	Path string
	// Missing says what one would have.
	Missing string
}

func (e *NoLayoutError) Error() string {
	return fmt.Sprintf("%s is no OCI image layout: %s: %v", e.Path, e.Missing, content.ErrNotFound)
}

// Unwrap makes it an ErrNotFound.
func (e *NoLayoutError) Unwrap() error { return content.ErrNotFound }
