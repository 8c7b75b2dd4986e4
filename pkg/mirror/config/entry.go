package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config/internal/decode"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// draft is an entry while it is decoded, or the defaults of entries.
type draft struct {
	Entry
	rename     *rename
	exclusions []Source // elements of `from` that begin with `!`
	written    []string // the values of `from` and `fromFile`, for the entry's name
	broken     bool     // some of these cannot be read
	keys       decode.Pairs
}

func defaultsForm() decode.Form[draft] {
	return decode.Form[draft]{
		What: "`defaults`", Fields: sharedKeys(), Elsewhere: []string{"name", "from", "fromFile"},
		Later: []string{"backup", "prune", "requireSigned", "schedule"},
	}
}

// sharedKeys are the keys that `defaults` and an entry may both have.
func sharedKeys() decode.Fields[draft] {
	overwrite := decode.Choice(transfer.OverwriteAlways, transfer.OverwriteNever, transfer.OverwriteNewer)
	return decode.Fields[draft]{
		"ignoreMissingPlatforms": decode.Into("If true, a missing platform causes no warning.",
			decode.Flag(), func(e *draft) *bool { return &e.IgnoreMissingPlatforms }),
		"to": decode.Into("Destinations: text or a list. {{.Registry}}, {{.Repository}}, {{.Base}}, {{.Tag}} and {{.Date}} insert parts of the source.",
			destinations(), func(e *draft) *[]Destination { return &e.Destinations }),
		"rename": decode.Into("The tag at the destination, such as {{.Tag}}-cn.",
			decode.Kind[*rename]{Schema: decode.TextSchema(), Read: readRename}, func(e *draft) **rename { return &e.rename }),
		"tags": decode.Into("Which tags of a repository to copy: one block, or a list of blocks of which each selects tags. Default: all tags.",
			selector(), func(e *draft) *tags.Selector { return &e.Tags }),
		"platforms": decode.Into("Which platforms to copy, such as [linux/amd64, linux/arm64], or all. Default: all.",
			platforms(), func(e *draft) *[]content.Platform { return &e.Platforms }),
		"requirePlatforms": decode.Into("If true, a missing platform is a failure instead of a warning.",
			decode.Flag(), func(e *draft) *bool { return &e.RequirePlatforms }),
		"requireSource": decode.Into("If true, a named tag or digest that no longer exists at the source is a failure, even if the destination has it.",
			decode.Flag(), func(e *draft) *bool { return &e.RequireSource }),
		"attestations": decode.Into("BuildKit attestations in an index. auto (default): copy them, except to registries that do not accept them; keep: always copy them; drop: leave them out.",
			attestations(), func(e *draft) *transfer.Attestations { return &e.Attestations }),
		"referrers": decode.Into("Which signatures, SBOMs and attestations to copy with an image: true (default), required, changed, false, artifact types, or a mapping.",
			referrers(), func(e *draft) *Referrers { return &e.Referrers }),
		"overwrite": decode.Into("Whether an existing tag may move: always (default), never, or newer (only to an image with a later creation time).",
			overwrite, func(e *draft) *transfer.Overwrite { return &e.Overwrite }),
		"immutable": decode.Into("Patterns of source tags that never change, such as v*.*.*. They are copied once and then no longer checked.",
			decode.ListOf(pattern()), func(e *draft) *[]tags.Pattern { return &e.Immutable }),
		"verify": decode.Into("Which up-to-date tags are checked at the destination: always (default), sampled (5% in each run), or {sampled: 10%}.",
			verify(), func(e *draft) *int { return &e.VerifyEvery }),
		"maxSize": decode.Into("The largest image to copy, such as 5GiB, 500MB, or a number of bytes.",
			decode.Size(), func(e *draft) *int64 { return &e.MaxSize }),
		"timeout": decode.Into("How long the entry may take in all, such as 90s, 30m, 1h30m, 2d or 1w.",
			decode.Duration(), func(e *draft) *time.Duration { return &e.Timeout }),
	}
}

func entryForm() decode.Form[draft] {
	form := defaultsForm()
	form.What, form.Elsewhere = "an entry of `sync`", nil
	form.Fields["name"] = decode.Field[draft]{
		Description: "The name of the entry in reports and for --only; unique.",
		Schema:      decode.TextSchema(), Decode: func(d *decode.Decoder, n *yaml.Node, what string, into *draft) {
			into.Name, _ = d.Filled(n, what)
			into.nameAt = d.Resolve(n)
		}}
	form.Fields["from"] = decode.Field[draft]{
		Description: "Sources: images, repositories or patterns; text or a list. !PATTERN excludes repositories.",
		Schema:      decode.OneOrMore(decode.TextSchema()), Decode: decodeFrom}
	form.Fields["fromFile"] = decode.Field[draft]{
		Description: "A file with one source per line; # begins a comment.",
		Schema:      decode.TextSchema(), Decode: decodeFromFile}
	return form
}

// decodeEntries reads the values of `defaults` and `sync`. Each may be missing. Date is the value
// of {{.Date}}.
func decodeEntries(d *decode.Decoder, defaultsNode, sync *yaml.Node, date string) (entries []Entry) {
	defaults := draft{Entry: Entry{Referrers: Referrers{Bring: true}}}
	if defaultsNode != nil {
		defaults.keys, _ = decode.Mapping(d, defaultsNode, defaultsForm(), &defaults)
		finishDestinations(d, &defaults, date)
	}
	if sync == nil {
		return nil
	}
	form := entryForm()
	for _, n := range d.List(sync, "`sync`", false) {
		if d.Exhausted() {
			break
		}
		in := defaults
		if n = d.Resolve(n); decodeEntry(d, n, form, &in, defaults.keys) {
			finishDestinations(d, &in, date)
			checkDestinations(d, in)
			entries = append(entries, in.Entry)
		}
	}
	return entries
}

// decodeEntry decodes an entry into a copy of the defaults.
func decodeEntry(d *decode.Decoder, n *yaml.Node, form decode.Form[draft], in *draft, defaults decode.Pairs) bool {
	var ok bool
	if in.keys, ok = decode.Mapping(d, n, form, in); !ok {
		return false
	}
	if !in.keys.Has("from") && !in.keys.Has("fromFile") {
		d.Fail(n, "the entry needs `from` or `fromFile`")
	}
	if !in.keys.Has("to") && !defaults.Has("to") {
		d.Fail(n, "the entry needs `to`, here or under `defaults`")
	}
	in.doubt = doubt{}
	for key := range form.Fields {
		in.doubt[key] = in.keys[key].Wrong || !in.keys.Has(key) && defaults[key].Wrong
	}
	applyExclusions(d, in)
	in.Position, in.src = d.Source.At(n), d.Source
	switch {
	case in.Name != "" || len(in.written) == 0:
	case len(in.written) <= 3:
		in.Name = strings.Join(in.written, ", ")
	default:
		in.Name = fmt.Sprintf("%s and %d more", in.written[0], len(in.written)-1)
	}
	// Keys without effect are mistakes, unless they are shared by `defaults` or a merge key.
	if in.keys.Own("tags") && len(in.Sources) > 0 && !in.broken && !slices.ContainsFunc(in.Sources, Source.IsRepository) {
		d.Suggest(in.keys["tags"].Name, "remove it, or remove the tag from `from`", "`tags` has no effect: `from` names single images")
	}
	all := len(in.Platforms) == 0 && !in.doubt["platforms"]
	if in.keys.Own("requirePlatforms") && in.RequirePlatforms && all {
		d.Suggest(in.keys["requirePlatforms"].Name, "list them with `platforms`", "`requirePlatforms` has no effect: all platforms are selected")
	}
	switch {
	case !in.keys.Own("ignoreMissingPlatforms") || !in.IgnoreMissingPlatforms:
	case all:
		d.Suggest(in.keys["ignoreMissingPlatforms"].Name, "list them with `platforms`", "`ignoreMissingPlatforms` has no effect: all platforms are selected")
	case in.RequirePlatforms:
		d.Suggest(in.keys["ignoreMissingPlatforms"].Name, "remove one of them", "`ignoreMissingPlatforms` has no effect: with `requirePlatforms`, a missing platform is a failure")
	}
	return true
}

// doubt has the keys whose values have a problem, here or in an inherited value. Their meaning is
// unknown, so nothing is concluded from them.
type doubt map[string]bool

// finishDestinations gives each destination the rename that applies to it. A destination with a tag
// needs none. It is a mistake to write both in one entry, but not if several entries share the
// rename.
func finishDestinations(d *decode.Decoder, in *draft, date string) {
	image := reference.Reference{Transport: reference.Registry, Registry: reference.DockerHub, Repository: "library/" + conflict.Wild}
	if len(in.Sources) > 0 {
		image = in.Sources[0].Sample()
	}
	in.Destinations = slices.Clone(in.Destinations)
	for i := range in.Destinations {
		to := &in.Destinations[i]
		to.date, to.rename = date, in.rename
		if in.rename == nil || !to.statesTag(image) {
			continue
		}
		to.rename = nil
		if in.keys.Own("rename") && !in.doubt["rename"] {
			d.Suggest(in.rename.node, "remove one of them", "`rename` has no effect: the destination %s already has a tag", quote.Word(to.node.Value))
		}
	}
}

// checkDestinations tries an entry's destinations on its sources, with made-up tags where
// the tags are not known yet.
func checkDestinations(d *decode.Decoder, in draft) {
	for _, to := range in.Destinations {
		for _, from := range in.Sources {
			if d.Visit(to.node); d.Exhausted() {
				return
			}
			if !checkDestination(d, to, from, in) {
				break // the other sources would have the same problem
			}
		}
	}
}

// checkDestination reports whether a destination can receive all images of a source: each
// repository and tag must have its own name there.
func checkDestination(d *decode.Decoder, to Destination, from Source, in draft) bool {
	tag := from.Sample()
	if from.IsRepository() {
		tag = tag.WithTag("a")
	}
	one, err := to.Reference(tag)
	if _, renamed := errors.AsType[*renameError](err); renamed {
		d.Invalid(to.rename.node, "`rename`", err, "")
		return false
	} else if err != nil {
		d.Invalid(to.node, "`to`", err, "")
		return false
	}
	if from.Glob != "" {
		if other, err := to.Reference(from.filled("other-" + conflict.Wild).WithTag("a")); err == nil && one == other {
			d.Suggest(to.node, "add `{{.Repository}}` or `{{.Base}}` to it", "every repository of %s would be written to %s", from, strings.ReplaceAll(one.FamiliarName(), conflict.Wild, "*"))
			return false
		}
	}
	if !from.IsRepository() || in.doubt["tags"] || onlyOne(in.Tags) {
		return true
	}
	switch other, err := to.Reference(tag.WithTag("b")); {
	case err != nil || one != other:
		return true
	case to.rename != nil:
		d.Suggest(to.rename.node, "add `{{.Tag}}` to it", "`rename` gives every tag of %s the same name: %s", from, one.Tag)
	default:
		d.Suggest(to.node, "remove the tag, or use `{{.Tag}}` in it", "every tag of %s would be written to %s", from, strings.ReplaceAll(one.Familiar(), conflict.Wild, "*"))
	}
	return false
}

// onlyOne reports whether a selection never has more than one tag of a repository: a single name,
// or the newest version in a range.
func onlyOne(selected tags.Selector) bool {
	literals, all := selected.Literals()
	if all {
		return len(literals) <= 1
	}
	return len(selected) == 1 && len(literals) == 0 && selected[0].Newest.Count == 1 &&
		selected[0].Semver != nil && len(selected[0].Variants) == 0
}

// platforms is a list of platforms; `all` overrides a default.
func platforms() decode.Kind[[]content.Platform] {
	list := decode.SetOf(decode.Parsed(decode.TextSchema(), content.ParsePlatform, ""), content.FormatPlatform)
	return decode.Kind[[]content.Platform]{Schema: list.Schema, Read: func(d *decode.Decoder, n *yaml.Node, what string) ([]content.Platform, bool) {
		if elements := d.List(n, what, true); len(elements) == 1 {
			if text, ok := d.Filled(elements[0], what); !ok || text == "all" {
				return nil, ok
			}
		}
		return list.Read(d, n, what)
	}}
}

// attestations is a word; true and false are those of earlier versions.
func attestations() decode.Kind[transfer.Attestations] {
	words := decode.Choice("auto", transfer.AttestationsKeep, transfer.AttestationsDrop, "true", "false")
	return decode.Kind[transfer.Attestations]{Schema: words.Schema, Read: func(d *decode.Decoder, n *yaml.Node, what string) (transfer.Attestations, bool) {
		word, ok := words.Read(d, n, what)
		switch word {
		case "false":
			return transfer.AttestationsDrop, ok
		case "auto", "true":
			return transfer.AttestationsAuto, ok
		}
		return word, ok
	}}
}

// artifactType is the form of a media type (RFC 6838, 4.2), which an artifact type is.
var artifactType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// referrers is true, false, `required`, `changed`, one or more artifact types, or a mapping that
// combines those.
func referrers() decode.Kind[Referrers] {
	types := decode.SetOf(decode.Matching(artifactType, "an artifact type", "write an artifact type as `application/spdx+json`"), strings.Clone)
	form := decode.Form[Referrers]{What: "`referrers`", Fields: decode.Fields[Referrers]{
		"types": decode.Into("Copy only these artifact types.",
			types, func(r *Referrers) *[]string { return &r.Types }),
		"required": decode.Into("If true, no tag moves without its referrers.",
			decode.Flag(), func(r *Referrers) *bool { return &r.Required }),
		"changed": decode.Into("If true, unchanged images are not checked for new referrers.",
			decode.Flag(), func(r *Referrers) *bool { return &r.OnCopy }),
	}}
	word := decode.OrVariable(decode.Schema{"enum": []any{true, false, "required", "changed"}})
	s := decode.Schema{"anyOf": []decode.Schema{word, types.Schema, form.Schema()}}
	return decode.Kind[Referrers]{Schema: s, Read: func(d *decode.Decoder, n *yaml.Node, what string) (r Referrers, ok bool) {
		r.Bring = true
		switch n = d.Resolve(n); {
		case n.Kind == yaml.SequenceNode || n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "/"):
			r.Types, ok = types.Read(d, n, what)
		case n.Kind == yaml.MappingNode:
			_, ok = decode.Mapping(d, n, form, &r)
		default:
			var word string
			word, ok = d.Choice(n, what, []string{"true", "false", "required", "changed"},
				"a list such as `[application/spdx+json]`", "a mapping such as `{types: [application/spdx+json], required: true}`")
			r = Referrers{Bring: word != "false", Required: word == "required", OnCopy: word == "changed"}
		}
		return r, ok
	}}
}

var percentage = regexp.MustCompile(`^([1-9][0-9]?|100)%$`)

// verify is `always`, `sampled`, or a mapping with the percentage of the sample. It is decoded as
// the number of runs in which each tag is once in the sample; 0 for `always`.
func verify() decode.Kind[int] {
	text := decode.Matching(percentage, "a percentage from 1% to 100%", "write a percentage as `5%`")
	percent := decode.Kind[int]{Schema: text.Schema, Read: func(d *decode.Decoder, n *yaml.Node, what string) (int, bool) {
		s, ok := text.Read(d, n, what)
		percent, err := strconv.Atoi(strings.TrimSuffix(s, "%"))
		if !ok || err != nil {
			return 0, false
		}
		return 100 / percent, true
	}}
	form := decode.Form[int]{What: "`verify`", Fields: decode.Fields[int]{"sampled": decode.Into("The share of the tags that each run checks, from 1% to 100%.",
		percent, func(p *int) *int { return p })}}
	words := decode.OrVariable(decode.Schema{"enum": []string{"always", "sampled"}})
	s := decode.Schema{"anyOf": []decode.Schema{words, form.Schema()}}
	return decode.Kind[int]{Schema: s, Read: func(d *decode.Decoder, n *yaml.Node, what string) (every int, ok bool) {
		if n = d.Resolve(n); n.Kind == yaml.MappingNode {
			keys, ok := decode.Mapping(d, n, form, &every)
			if ok && len(keys) == 0 {
				d.Suggest(n, "write `verify: {sampled: 5%}`", "%s needs `sampled`", what)
			}
			return every, ok && len(keys) > 0
		}
		word, ok := d.Choice(n, what, []string{"always", "sampled"}, "a mapping such as `{sampled: 5%}`")
		if word == "sampled" {
			every = 100 / 5 // `sampled` stands for 5%
		}
		return every, ok
	}}
}
