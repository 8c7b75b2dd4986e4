package ui

import (
	"fmt"
	"io"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// WritePushed writes the line that docker push ends with: "1.1: digest: sha256:… size: 1234".
func WritePushed(w io.Writer, pushed reference.Reference, d content.Descriptor) error {
	_, err := fmt.Fprintf(w, "%s: digest: %s size: %d\n", Clean(pushed.Identifier()), Clean(d.Digest.String()), d.Size)
	return err
}

// WritePulled writes the lines that docker pull ends with. newer says that the local tag was
// not there, or pointed elsewhere.
func WritePulled(w io.Writer, pulled reference.Reference, d content.Descriptor, newer bool) error {
	status := "Image is up to date for"
	if newer {
		status = "Downloaded newer image for"
	}
	_, err := fmt.Fprintf(w, "Digest: %s\nStatus: %s %s\n%s\n",
		Clean(d.Digest.String()), status, Clean(pulled.Familiar()), Clean(pulled.String()))
	return err
}
