package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// draft is an entry as it stands in the file.
type draft struct {
	settings
	name    string
	nameAt  *yaml.Node
	from    []Source
	written []string // what `from` and `fromFile` say, for the entry's name
	broken  bool     // some of what they say cannot be read
	doubt   doubt
}

func entryForm() form[draft] {
	return form[draft]{what: "an entry of `sync`", fields: entryKeys(), later: settingsLater()}
}

func entryKeys() fields[draft] {
	table := fields[draft]{
		"name": {schema: textSchema(), decode: func(d *decoder, n *yaml.Node, what string, into *draft) {
			into.name, _ = d.filled(n, what)
			into.nameAt = d.resolve(n)
		}},
		"from": {schema: oneOrMore(textSchema()), decode: (*decoder).from},
		"fromFile": {schema: textSchema(), decode: func(d *decoder, n *yaml.Node, what string, into *draft) {
			sources, ok := d.fromFile(n, what)
			into.from = append(into.from, sources...)
			into.broken = into.broken || !ok
			into.written = append(into.written, d.resolve(n).Value)
		}},
	}
	for key, f := range settingsKeys() {
		table[key] = inside(f, func(in *draft) *settings { return &in.settings })
	}
	return table
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
	in := draft{settings: defaultSettings()}
	keys, ok := decodeMapping(d, n, entryForm(), &in)
	if !ok {
		return Entry{}, false
	}
	in.keys = keys
	if !keys.has("from") && !keys.has("fromFile") {
		d.fail(n, "the entry needs `from` or `fromFile`")
	}
	if !keys.has("to") && !defaults.keys.has("to") {
		d.fail(n, "the entry needs `to`, here or under `defaults`")
	}
	in.under(defaults)
	in.doubt = doubtOf(keys, defaults.keys)
	d.checkRename(&in.settings, in.from)
	d.checkEffects(in)
	d.checkDestinations(in)
	return Entry{
		Name: entryName(in), Sources: in.from, Destinations: in.to, Tags: in.tags,
		Platforms: in.platforms, RequirePlatforms: in.requirePlatforms, OmitAttestations: !in.attestations, Referrers: in.referrers,
		Overwrite: in.overwrite, Immutable: in.immutable, VerifyEvery: in.verifyEvery, MaxSize: in.maxSize, Timeout: in.timeout,
		Position: d.src.at(n), src: d.src, nameAt: in.nameAt, doubt: in.doubt,
	}, true
}

// doubt has the keys with a mistake in their values, here or in what they inherit: nobody
// knows what is meant, so nothing is concluded from them.
type doubt map[string]bool

func doubtOf(keys, defaults pairs) doubt {
	all := doubt{}
	for key := range settingsKeys() {
		all[key] = keys[key].wrong || !keys.has(key) && defaults[key].wrong
	}
	return all
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

// checkEffects finds keys of an entry that do nothing. What it shares with others, by
// `defaults` or a merge key, may do something there.
func (d *decoder) checkEffects(in draft) {
	if in.keys.said("tags") && len(in.from) > 0 && !in.broken && !slices.ContainsFunc(in.from, Source.IsRepository) {
		d.suggest(in.keys["tags"].name, "leave it out, or leave the tag out of `from`", "`tags` has no effect: `from` names single images")
	}
	all := len(in.platforms) == 0 && !in.doubt["platforms"]
	if in.keys.said("requirePlatforms") && in.requirePlatforms && all {
		d.suggest(in.keys["requirePlatforms"].name, "say which with `platforms`", "`requirePlatforms` has no effect: all platforms are taken")
	}
}
