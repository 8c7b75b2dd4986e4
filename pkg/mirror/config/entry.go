package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/tags"
)

// settings are what `defaults` and an entry may both say. Set has the keys that were there.
type settings struct {
	to        []Destination
	tags      tags.Selector
	platforms []content.Platform
	referrers Referrers
	set       map[string]*yaml.Node
}

func settingsKeys() fields[settings] {
	return fields[settings]{
		"to":        func(d *decoder, n *yaml.Node, into *settings) { into.to = d.destinations(n) },
		"tags":      func(d *decoder, n *yaml.Node, into *settings) { into.tags = d.tags(n) },
		"platforms": func(d *decoder, n *yaml.Node, into *settings) { into.platforms = d.platforms(n) },
		"referrers": func(d *decoder, n *yaml.Node, into *settings) { into.referrers = d.referrers(n) },
	}
}

func settingsLater() []string {
	return []string{
		"rename", "overwrite", "immutable", "backup", "prune", "requireSigned", "requirePlatforms",
		"maxSize", "timeout", "schedule",
	}
}

// under fills what an entry does not say from the defaults.
func (s *settings) under(defaults settings) {
	if s.set["to"] == nil {
		s.to = defaults.to
	}
	if s.set["tags"] == nil {
		s.tags = defaults.tags
	}
	if s.set["platforms"] == nil {
		s.platforms = defaults.platforms
	}
	if s.set["referrers"] == nil {
		s.referrers = defaults.referrers
	}
}

// draft is an entry as it stands in the file.
type draft struct {
	settings
	name    string
	nameAt  *yaml.Node
	from    []Source
	written []string // what `from` and `fromFile` say, for the entry's name
}

func entryKeys() fields[draft] {
	table := fields[draft]{
		"name": func(d *decoder, n *yaml.Node, into *draft) {
			into.name, _ = d.filled(n, "`name`")
			into.nameAt = d.resolve(n)
		},
		"from": func(d *decoder, n *yaml.Node, into *draft) { d.from(n, into) },
		"fromFile": func(d *decoder, n *yaml.Node, into *draft) {
			into.from = append(into.from, d.fromFile(n)...)
			into.written = append(into.written, d.resolve(n).Value)
		},
	}
	for key, decode := range settingsKeys() {
		table[key] = func(d *decoder, n *yaml.Node, into *draft) { decode(d, n, &into.settings) }
	}
	return table
}

// from reads the value of `from`.
func (d *decoder) from(n *yaml.Node, into *draft) {
	elements := d.list(n, "`from`", true)
	for _, e := range elements {
		text, ok := d.filled(e, "`from`")
		if !ok {
			continue
		}
		into.written = append(into.written, text)
		ref, err := parseReference(text)
		if err != nil {
			d.invalid(d.resolve(e), err)
			continue
		}
		if ref.Path != "" {
			ref.Path = d.src.path(ref.Path)
		}
		into.from = append(into.from, Source{Reference: ref, Position: d.src.at(d.resolve(e)), src: d.src})
	}
}

// defaults reads the value of `defaults`.
func (d *decoder) defaults(n *yaml.Node) settings {
	s := settings{referrers: Referrers{Bring: true}}
	table := settingsKeys()
	for _, key := range []string{"name", "from", "fromFile"} {
		table[key] = nil
	}
	s.set, _ = decodeMapping(d, n, "`defaults`", table, settingsLater(), &s)
	return s
}

// entries reads the value of `sync`.
func (d *decoder) entries(n *yaml.Node, defaults settings) []Entry {
	elements := d.list(n, "`sync`", false)
	entries := make([]Entry, 0, len(elements))
	for _, e := range elements {
		if d.exhausted() {
			break
		}
		if entry, ok := d.entry(d.resolve(e), defaults); ok {
			entries = append(entries, entry)
		}
	}
	return entries
}

func (d *decoder) entry(n *yaml.Node, defaults settings) (Entry, bool) {
	in := draft{settings: settings{referrers: Referrers{Bring: true}}}
	present, ok := decodeMapping(d, n, "an entry of `sync`", entryKeys(), settingsLater(), &in)
	if !ok {
		return Entry{}, false
	}
	in.set = present
	if present["from"] == nil && present["fromFile"] == nil {
		d.fail(n, "the entry needs `from` or `fromFile`")
	}
	if present["to"] == nil && defaults.set["to"] == nil {
		d.fail(n, "the entry needs `to`, here or under `defaults`")
	}
	in.under(defaults)
	if node := present["tags"]; node != nil && len(in.from) > 0 && !slices.ContainsFunc(in.from, Source.IsRepository) {
		d.suggest(node, "leave it out, or leave the tag out of `from`", "`tags` has no effect: `from` names single images")
	}
	d.checkDestinations(in)
	return Entry{
		Name: entryName(in), Sources: in.from, Destinations: in.to, Tags: in.tags,
		Platforms: in.platforms, Referrers: in.referrers, Position: d.src.at(n),
		src: d.src, nameAt: in.nameAt,
	}, true
}

func entryName(in draft) string {
	switch {
	case in.name != "" || len(in.written) == 0:
		return in.name
	case len(in.written) <= 3:
		return strings.Join(in.written, ", ")
	default:
		return fmt.Sprintf("%s and %d more", in.written[0], len(in.written)-1)
	}
}

// platforms reads a list of platforms; `all` undoes a default.
func (d *decoder) platforms(n *yaml.Node) []content.Platform {
	elements := d.list(n, "`platforms`", true)
	var platforms []content.Platform
	seen := map[string]bool{}
	for _, e := range elements {
		text, ok := d.filled(e, "a platform")
		if !ok || text == "all" && len(elements) == 1 {
			continue
		}
		p, err := content.ParsePlatform(text)
		if err != nil {
			d.invalid(d.resolve(e), err)
			continue
		}
		name := content.FormatPlatform(p)
		if seen[name] {
			d.fail(d.resolve(e), "the platform %s is there twice", name)
			continue
		}
		seen[name] = true
		platforms = append(platforms, p)
	}
	return platforms
}

func (d *decoder) referrers(n *yaml.Node) Referrers {
	if target := d.resolve(n); target.Kind == yaml.SequenceNode {
		d.suggest(target, "use `true` or `false`", "a list of artifact types in `referrers` is not supported yet")
		return Referrers{}
	}
	bring, _ := d.boolean(n, "`referrers`")
	return Referrers{Bring: bring}
}
