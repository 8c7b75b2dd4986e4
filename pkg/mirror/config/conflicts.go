package config

import (
	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// checkConflicts finds what the files alone tell to be written twice, or copied onto itself. Nothing is concluded from
// a value with a mistake.
func checkConflicts(entries []Entry, found *document.Problems) {
	var stated []*conflict.Stated
	var sources []Source
	for i := range entries {
		e := &entries[i]
		if e.doubt["tags"] || e.doubt["rename"] {
			continue
		}
		entry := conflict.NewEntry(e.Name, e.Tags, e.Platforms, e.Destinations)
		for j, from := range e.Sources {
			s := &conflict.Stated{
				Writer:   conflict.Writer{Order: conflict.Order{i, j}, Entry: entry, Source: from.Sample()},
				Position: from.Position.String(), AnyPlatforms: e.doubt["platforms"],
				InPart:     len(e.Platforms) > 0 || e.Attestations == transfer.AttestationsDrop,
				Overwrites: !e.doubt["overwrite"] && (e.Overwrite == "" || e.Overwrite == transfer.OverwriteAlways),
			}
			if from.Glob != "" {
				s.Matches = func(ref reference.Reference) bool {
					return ref.IsRegistry() && ref.Registry == from.Reference.Registry && from.Matches(ref.Repository)
				}
			}
			stated, sources = append(stated, s), append(sources, from)
		}
	}
	for _, p := range conflict.Check(stated) {
		found.Add(sources[p.Source].src, sources[p.Source].Position, p.Message, "")
	}
}
