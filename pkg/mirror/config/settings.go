package config

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/transfer"
)

// settings are what `defaults` and an entry may both say. Keys are those that were there.
type settings struct {
	to               []Destination
	rename           *rename
	tags             tags.Selector
	platforms        []content.Platform
	requirePlatforms bool
	attestations     bool
	referrers        Referrers
	overwrite        transfer.Overwrite
	immutable        []tags.Pattern
	verifyEvery      int
	maxSize          int64
	timeout          time.Duration
	keys             pairs
}

// defaultSettings are what holds where neither an entry nor `defaults` say anything.
func defaultSettings() settings {
	return settings{attestations: true, referrers: Referrers{Bring: true}}
}

func settingsForm() form[settings] {
	table := settingsKeys()
	for _, key := range []string{"name", "from", "fromFile"} {
		table[key] = field[settings]{}
	}
	return form[settings]{what: "`defaults`", fields: table, later: settingsLater()}
}

func settingsKeys() fields[settings] {
	return fields[settings]{
		"to":               is(destinations(), func(s *settings) *[]Destination { return &s.to }),
		"rename":           is(renaming(), func(s *settings) **rename { return &s.rename }),
		"tags":             is(selector(), func(s *settings) *tags.Selector { return &s.tags }),
		"platforms":        is(platforms(), func(s *settings) *[]content.Platform { return &s.platforms }),
		"requirePlatforms": is(flag(), func(s *settings) *bool { return &s.requirePlatforms }),
		"attestations":     is(flag(), func(s *settings) *bool { return &s.attestations }),
		"referrers":        is(referrers(), func(s *settings) *Referrers { return &s.referrers }),
		"overwrite": is(choice(transfer.OverwriteAlways, transfer.OverwriteNever, transfer.OverwriteNewer),
			func(s *settings) *transfer.Overwrite { return &s.overwrite }),
		"immutable": is(listOf(pattern()), func(s *settings) *[]tags.Pattern { return &s.immutable }),
		"verify":    is(verify(), func(s *settings) *int { return &s.verifyEvery }),
		"maxSize":   is(size(), func(s *settings) *int64 { return &s.maxSize }),
		"timeout":   is(duration(), func(s *settings) *time.Duration { return &s.timeout }),
	}
}

func settingsLater() []string { return []string{"backup", "prune", "requireSigned", "schedule"} }

// under fills what an entry does not say from the defaults.
func (s *settings) under(defaults settings) {
	for key, f := range settingsKeys() {
		if !s.keys.has(key) {
			f.copy(s, &defaults)
		}
	}
}

// defaults reads the value of `defaults`.
func (d *decoder) defaults(n *yaml.Node) settings {
	s := defaultSettings()
	s.keys, _ = decodeMapping(d, n, settingsForm(), &s)
	d.checkRename(&s, nil)
	return s
}

// platforms is a list of platforms; `all` undoes a default.
func platforms() kind[[]content.Platform] {
	return kind[[]content.Platform]{oneOrMore(textSchema()), (*decoder).platforms}
}

func (d *decoder) platforms(n *yaml.Node, what string) ([]content.Platform, bool) {
	elements := d.list(n, what, true)
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
	return platforms, true
}

// referrers is true, false, `required`, `changed`, a list of artifact types, or a mapping that
// combines those.
func referrers() kind[Referrers] {
	word := orVariable(schema{"enum": []any{true, false, "required", "changed"}})
	return kind[Referrers]{
		schema{"anyOf": []schema{word, artifactTypes().schema, referrersForm().schema()}}, (*decoder).referrers,
	}
}

func referrersForm() form[Referrers] {
	return form[Referrers]{what: "`referrers`", fields: fields[Referrers]{
		"types":    is(artifactTypes(), func(r *Referrers) *[]string { return &r.Types }),
		"required": is(flag(), func(r *Referrers) *bool { return &r.Required }),
		"changed":  is(flag(), func(r *Referrers) *bool { return &r.OnCopy }),
	}}
}

// artifactTypePattern is the form of a media type (RFC 6838, 4.2), which an artifact type is.
const artifactTypePattern = `^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`

var artifactType = regexp.MustCompile(artifactTypePattern)

func (d *decoder) referrers(n *yaml.Node, what string) (Referrers, bool) {
	target := d.resolve(n)
	switch target.Kind {
	case yaml.SequenceNode:
		types, ok := d.artifactTypes(target, what)
		return Referrers{Bring: true, Types: types}, ok
	case yaml.MappingNode:
		into := Referrers{Bring: true}
		_, ok := decodeMapping(d, target, referrersForm(), &into)
		return into, ok
	}
	word, ok := d.expand(target)
	boolean := target.Tag == "!!bool" || hasVariable(target)
	switch {
	case !ok:
		return Referrers{}, false
	case word == "required" || word == "changed":
		return Referrers{Bring: true, Required: word == "required", OnCopy: word == "changed"}, true
	case boolean && (strings.EqualFold(word, "true") || strings.EqualFold(word, "false")):
		return Referrers{Bring: strings.EqualFold(word, "true")}, true
	}
	suggestion := didYouMean(word, []string{"true", "required", "changed", "false"})
	if artifactType.MatchString(word) {
		suggestion = "a list is written `[application/spdx+json]`"
	}
	d.suggest(target, suggestion,
		"%s must be `true`, `false`, `required`, `changed`, a list of artifact types, or a mapping of `types`, `required` and `changed`", what)
	return Referrers{}, false
}

func artifactTypes() kind[[]string] {
	return kind[[]string]{
		schema{"type": "array", "items": orVariable(wordSchema(artifactTypePattern)), "minItems": 1, "uniqueItems": true}, (*decoder).artifactTypes,
	}
}

func (d *decoder) artifactTypes(n *yaml.Node, what string) (types []string, ok bool) {
	for _, e := range d.list(n, what, false) {
		text, ok := d.filled(e, what)
		switch {
		case !ok:
		case !artifactType.MatchString(text):
			d.suggest(d.resolve(e), "as `application/spdx+json`", "%s is no artifact type", quote.Word(d.resolve(e).Value))
		case slices.Contains(types, text):
			d.fail(d.resolve(e), "the artifact type %s is listed twice", text)
		default:
			types = append(types, text)
		}
	}
	return types, len(types) > 0
}
