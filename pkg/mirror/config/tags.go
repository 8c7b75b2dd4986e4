package config

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config/internal/decode"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
)

func tagsForm() decode.Form[tags.Block] {
	semver := decode.Parsed(decode.TextSchema(), tags.ParseRange, "")
	suffix := decode.Parsed(decode.TextSchema(), tags.ParseSuffix, "")
	return decode.Form[tags.Block]{What: "`tags`", Fields: decode.Fields[tags.Block]{
		"include": decode.Into("Patterns of which a tag must match one: names, globs, or regular expressions between slashes. Default: all tags.",
			decode.ListOf(pattern()), func(b *tags.Block) *[]tags.Pattern { return &b.Include }),
		"exclude": decode.Into("Patterns of which a tag must match none.",
			decode.ListOf(pattern()), func(b *tags.Block) *[]tags.Pattern { return &b.Exclude }),
		"semver": decode.Into("A range of versions, such as >=1.25 <2. Selects only versions.",
			semver, func(b *tags.Block) **tags.Range { return &b.Semver }),
		"variants": decode.Into("Patterns of suffixes that semver selects in addition to plain versions, such as alpine*.",
			decode.ListOf(suffix), func(b *tags.Block) *[]tags.Pattern { return &b.Variants }),
		"newest": decode.Into("How many of the newest releases to copy, for each variant: a number, or {count: 5, by: created}.",
			newest(), func(b *tags.Block) *tags.Newest { return &b.Newest }),
		"createdWithin": decode.Into("Maximum age of the image, by the creation date in it: 90d, 12w, 36h.",
			decode.Duration(), func(b *tags.Block) *time.Duration { return &b.CreatedWithin }),
		"olderThan": decode.Into("Minimum age of the image, by the creation date in it.",
			decode.Duration(), func(b *tags.Block) *time.Duration { return &b.OlderThan }),
		"pushedWithin": decode.Into("Maximum time since the tag was pushed. Fails if the registry does not report push times.",
			decode.Duration(), func(b *tags.Block) *time.Duration { return &b.PushedWithin }),
	}}
}

// selector is a block of `tags`, or a list of them. One with a mistake selects nothing that
// can be known.
func selector() decode.Kind[tags.Selector] {
	form := tagsForm()
	return decode.Kind[tags.Selector]{Schema: decode.OneOrMore(form.Schema()), Read: func(d *decode.Decoder, n *yaml.Node, what string) (tags.Selector, bool) {
		blocks := []*yaml.Node{n}
		if n = d.Resolve(n); n.Kind == yaml.SequenceNode {
			blocks = d.List(n, what, false)
		}
		var all tags.Selector
		before := d.Problems.Added()
		for _, b := range blocks {
			var block tags.Block
			clean := d.Problems.Added()
			if b = d.Resolve(b); b.Kind != yaml.MappingNode {
				d.Suggest(b, "write `tags: {include: […]}`", "%s must be a mapping, not %s", what, decode.KindOf(b))
				continue
			}
			keys, ok := decode.Mapping(d, b, form, &block)
			if ok && len(b.Content) == 0 {
				d.Suggest(b, "remove `tags` to select all tags", "%s is empty", what)
			}
			if d.Problems.Added() == clean {
				checkBlock(d, block, keys)
			}
			all = append(all, block)
		}
		return all, d.Problems.Added() == before
	}}
}

// pattern is a pattern that some tag can match.
func pattern() decode.Kind[tags.Pattern] {
	parsed := decode.Parsed(decode.TextSchema(), tags.ParsePattern, "")
	return decode.Kind[tags.Pattern]{Schema: parsed.Schema, Read: func(d *decode.Decoder, n *yaml.Node, what string) (tags.Pattern, bool) {
		p, ok := parsed.Read(d, n, what)
		if ok && !matchesSomeTag(p) {
			ok = false
			d.Suggest(d.Resolve(n), "a tag has up to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`",
				"%s: no tag can match %s", what, quote.Word(d.Resolve(n).Value))
		}
		return p, ok
	}}
}

// newest is a number of tags, or a mapping that also says what they go by.
func newest() decode.Kind[tags.Newest] {
	form := decode.Form[tags.Newest]{What: "`newest`", Fields: decode.Fields[tags.Newest]{
		"count": decode.Into("How many of the newest releases to copy.",
			decode.Number(1), func(n *tags.Newest) *int { return &n.Count }),
		"by": decode.Into("The order of releases: version (default) or created.",
			decode.Choice(tags.ByVersion, tags.ByCreated), func(n *tags.Newest) *tags.Order { return &n.By }),
	}}
	s := decode.Schema{"anyOf": []decode.Schema{decode.Number(1).Schema, form.Schema()}}
	return decode.Kind[tags.Newest]{Schema: s, Read: func(d *decode.Decoder, n *yaml.Node, what string) (into tags.Newest, ok bool) {
		if n = d.Resolve(n); n.Kind != yaml.MappingNode {
			into.Count, ok = d.Integer(n, what, 1)
			return into, ok
		}
		keys, ok := decode.Mapping(d, n, form, &into)
		if ok && !keys.Has("count") {
			d.Suggest(n, "write `newest: {count: 5, by: created}`", "%s needs `count`", what)
		}
		return into, ok
	}}
}

// checkBlock finds what cannot be meant in a block of `tags` whose parts are right: rules
// that select no tag, and rules without effect.
func checkBlock(d *decode.Decoder, b tags.Block, keys decode.Pairs) {
	checkExcluded(d, b, keys)
	checkIncluded(d, b, keys)
	if b.CreatedWithin > 0 && b.OlderThan >= b.CreatedWithin {
		d.Fail(keys["olderThan"].Name, "`createdWithin` must be longer than `olderThan`, otherwise no tag is selected")
	}
	if b.Semver != nil && b.Semver.Empty() {
		d.Fail(keys["semver"].Value, "the range %s contains no version", quote.Word(d.Resolve(keys["semver"].Value).Value))
	}
	if keys.Has("variants") && b.Semver == nil {
		d.Suggest(keys["variants"].Name, "add `semver`", "`variants` has no effect without `semver`")
	}
	if _, named := (tags.Selector{b}).Literals(); !named {
		return
	}
	for _, key := range []string{"semver", "newest", "createdWithin", "olderThan", "pushedWithin"} {
		if keys.Has(key) {
			d.Suggest(keys[key].Name, "remove one of them, or move the names to a separate block",
				"`%s` has no effect: `include` has only names, which are always selected", key)
		}
	}
}

// checkIncluded finds inclusions that are never taken.
func checkIncluded(d *decode.Decoder, b tags.Block, keys decode.Pairs) {
	for i, in := range b.Include {
		node := element(d, keys["include"].Value, i)
		_, literal := in.Literal()
		switch {
		case literal && content.IsAttachedTag(in.String()):
			d.Suggest(node, "use `referrers`", "%s is copied with its image and cannot be selected by `tags`", quote.Word(in.String()))
		case !literal && b.Semver != nil && !strings.ContainsAny(in.String()[:1], `v0123456789*?[\/`): // nothing that a version begins with
			d.Suggest(node, "move it to a separate block, or remove `semver`",
				"%s matches no version, but `semver` selects only versions", quote.Word(in.String()))
		}
	}
}

// checkExcluded finds inclusions that `exclude` takes away as a whole.
func checkExcluded(d *decode.Decoder, b tags.Block, keys decode.Pairs) {
	for i, out := range b.Exclude {
		if out.MatchesAll() {
			d.Fail(element(d, keys["exclude"].Value, i), "%s in `exclude` excludes all tags", quote.Word(out.String()))
			return
		}
	}
	for i, in := range b.Include {
		literal, isLiteral := in.Literal()
		for _, out := range b.Exclude {
			if out.String() == in.String() || isLiteral && out.Match(literal) || within(in.String(), out.String(), out.Match) {
				d.Fail(element(d, keys["include"].Value, i), "%s is excluded by %s in `exclude`", quote.Word(in.String()), quote.Word(out.String()))
				break
			}
		}
	}
}

// element is a node's element i, or itself where it is the only one.
func element(d *decode.Decoder, n *yaml.Node, i int) *yaml.Node {
	n = d.Resolve(n)
	if n.Kind == yaml.SequenceNode && i < len(n.Content) {
		return d.Resolve(n.Content[i])
	}
	return n
}

// within reports whether what a glob matches another one matches, too. It says yes only where
// that is certain: whatever stands for a `*` of the one, the other takes.
func within(in, out string, match func(string) bool) bool {
	const anything = "\ue000" // no part of a pattern, so that only a `*` matches it
	if !strings.Contains(in, "*") || strings.ContainsAny(in+out, `?[\`) || strings.HasPrefix(in, "/") || strings.HasPrefix(out, "/") {
		return false
	}
	return match(strings.ReplaceAll(in, "*", "")) && match(strings.ReplaceAll(in, "*", anything))
}

// maxTag is how long a tag may be (OCI distribution specification, "Pulling manifests").
const maxTag = 128

var globPart = regexp.MustCompile(`\*|\?|\[[^\]]*\]|\\.|[^*?[\\]+`)

// matchesSomeTag reports whether a pattern can match a tag. It says no only where that is
// certain: a part that must be there has none of a tag's characters, or is too long.
func matchesSomeTag(p tags.Pattern) bool {
	text := p.String()
	if _, literal := p.Literal(); literal {
		return true // checked when it was parsed
	}
	expression, isRegex := strings.CutPrefix(text, "/")
	switch {
	case isRegex:
		expression = strings.TrimSuffix(expression, "/")
	case text[0] == '.' || text[0] == '-':
		return false // a tag does not begin so
	default:
		expression = globPart.ReplaceAllStringFunc(text, func(part string) string {
			switch part[0] {
			case '*':
				return ".*"
			case '?':
				return "."
			case '[':
				return strings.Replace(part, "[!", "[^", 1)
			case '\\':
				return regexp.QuoteMeta(part[1:])
			default:
				return regexp.QuoteMeta(part)
			}
		})
	}
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return true // it is checked when tags are listed
	}
	length, fits := shortest(re)
	return fits && length <= maxTag
}

func notInTag(r rune) bool { return reference.CheckTag("_"+string(r)) != nil }

// shortest is how many characters an expression matches at least, at most maxTag+1. Fits
// reports whether those that it cannot do without may be in a tag.
func shortest(re *syntax.Regexp) (length int, fits bool) {
	switch re.Op {
	case syntax.OpNoMatch:
		return 0, false
	case syntax.OpLiteral:
		return len(re.Rune), !strings.ContainsFunc(string(re.Rune), notInTag)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= min(re.Rune[i+1], 'z'); r++ {
				fits = fits || !notInTag(r)
			}
		}
		return 1, fits
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, true
	case syntax.OpAlternate:
		length = maxTag + 1
		for _, sub := range re.Sub {
			if n, ok := shortest(sub); ok {
				length, fits = min(length, n), true
			}
		}
		return length, fits
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		fits = !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool {
			n, ok := shortest(sub)
			length = min(length+n, maxTag+1)
			return !ok
		})
		return length, fits
	case syntax.OpRepeat:
		length, fits = shortest(re.Sub[0])
		return min(re.Min*length, maxTag+1), fits || re.Min == 0
	default:
		return 0, true
	}
}
