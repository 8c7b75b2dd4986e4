package transfer

import (
	"context"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Job is an intent: this image, to these places. It is plain data; whoever executes it
// plans for itself.
type Job struct {
	// Entry groups jobs in events and reports: the name of a configuration's entry, or
	// empty.
	Entry string `json:"entry,omitempty"`
	// Source names one image, by tag or by digest. With both, the digest is copied.
	Source reference.Reference `json:"source"`
	// Destinations are where it goes: each a tag, a digest, or both; the same one twice is
	// done once, with a warning.
	Destinations []reference.Reference `json:"destinations"`
	// Platforms selects from an index; nil takes the index as it is. One platform takes
	// that platform's own manifest, several a rewritten index.
	Platforms []content.Platform `json:"platforms,omitempty"`
	// RequirePlatforms makes a platform that the source lacks an error, not a warning.
	RequirePlatforms bool `json:"requirePlatforms,omitempty"`
	// Referrers brings signatures, attestations and other referrers along.
	Referrers bool `json:"referrers,omitempty"`
	// ForeignLayers copies non-distributable layers too.
	ForeignLayers bool `json:"foreignLayers,omitempty"`
}

// Opener turns references into places. Equal repositories should give values with equal
// Locations; the engine opens a place once a job.
type Opener interface {
	OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error)
	OpenTarget(ctx context.Context, ref reference.Reference) (content.Target, error)
}
