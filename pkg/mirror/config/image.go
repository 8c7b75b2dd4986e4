package config

import (
	"strings"

	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
)

// image is a tag on its way.
type image struct {
	reference.Reference
	origin origin
}

// origin is where an image of a flow comes from.
type origin int

// The origins.
const (
	stated  origin = iota // by the files
	sampled               // made up to match a glob: v* has vmade-up-name
	probed                // made up, for all that a selection takes
)

// sampleOf is a tag that a glob matches, if that is easily told.
func sampleOf(p tags.Pattern) (string, bool) {
	glob := p.String()
	if !strings.Contains(glob, "*") || strings.ContainsAny(glob, `/?[\`) {
		return "", false
	}
	return strings.ReplaceAll(glob, "*", sampleName), true
}

// String names an image for people; what is made up is not shown.
func (i image) String() string {
	switch i.origin {
	case sampled:
		return strings.ReplaceAll(i.Familiar(), sampleName, "*")
	case probed:
		return strings.ReplaceAll(i.FamiliarName(), sampleName, "*")
	default:
		return i.Familiar()
	}
}
