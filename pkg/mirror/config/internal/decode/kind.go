package decode

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// Schema is a part of a JSON Schema, draft 2020-12.
type Schema map[string]any

// TextSchema is that of text: YAML takes some of it for numbers or true and false.
func TextSchema() Schema { return Schema{"type": []string{"string", "number", "boolean"}} }

// OrVariable allows a variable where a value has another type or form.
func OrVariable(s Schema) Schema {
	return Schema{"anyOf": []Schema{maps.Clone(s), {"type": "string", "pattern": `\$\{`}}}
}

// OneOrMore is a value, or a list of such values.
func OneOrMore(s Schema) Schema {
	return Schema{"anyOf": []Schema{s, {"type": "array", "items": s, "minItems": 1}}}
}

// Kind is a type of value: what it looks like, and how a node is read as one. Read adds what
// is wrong with the node; what is the value's name in messages.
type Kind[V any] struct {
	Schema Schema
	Read   func(d *Decoder, n *yaml.Node, what string) (V, bool)
}

// Text is any scalar, as it stands in the file. V is a string.
func Text[V ~string]() Kind[V] {
	return Kind[V]{TextSchema(), func(d *Decoder, n *yaml.Node, what string) (V, bool) {
		s, ok := d.Text(n, what)
		return V(s), ok
	}}
}

// Parsed is text that parse turns into a value. Its errors show the text; hint says how such
// text is written.
func Parsed[V any](s Schema, parse func(string) (V, error), hint string) Kind[V] {
	return Kind[V]{s, func(d *Decoder, n *yaml.Node, what string) (V, bool) {
		text, ok := d.Filled(n, what)
		if !ok {
			return *new(V), false
		}
		v, err := parse(text)
		if err != nil {
			d.Invalid(n, what, err, hint)
		}
		return v, err == nil
	}}
}

// Matching is text that a regular expression matches, and that is called form in messages.
func Matching(expression *regexp.Regexp, form, hint string) Kind[string] {
	s := Schema{"type": "string", "pattern": expression.String()}
	return Parsed(OrVariable(s), func(text string) (string, error) {
		if !expression.MatchString(text) {
			return "", fmt.Errorf("%s is not %s", quote.Word(text), form)
		}
		return text, nil
	}, hint)
}

// Number is a whole number that is at least least.
func Number(least int) Kind[int] {
	return Kind[int]{
		OrVariable(Schema{"type": "integer", "minimum": least}),
		func(d *Decoder, n *yaml.Node, what string) (int, bool) { return d.Integer(n, what, least) },
	}
}

// Choice is one of some words.
func Choice[W ~string](words ...W) Kind[W] {
	list, values := make([]string, len(words)), make([]any, len(words))
	for i, w := range words {
		list[i], values[i] = string(w), string(w)
		if w == "true" || w == "false" {
			values[i] = w == "true"
		}
	}
	return Kind[W]{OrVariable(Schema{"enum": values}), func(d *Decoder, n *yaml.Node, what string) (W, bool) {
		word, ok := d.Choice(n, what, list)
		return W(word), ok
	}}
}

// Flag is true or false.
func Flag() Kind[bool] {
	return Kind[bool]{
		OrVariable(Schema{"type": "boolean"}),
		func(d *Decoder, n *yaml.Node, what string) (bool, bool) {
			word, ok := d.Choice(n, what, []string{"true", "false"})
			return word == "true", ok
		},
	}
}

// ListOf is a list of values, or one of them alone. Those that are wrong are left out.
func ListOf[V any](k Kind[V]) Kind[[]V] {
	return Kind[[]V]{OneOrMore(k.Schema), func(d *Decoder, n *yaml.Node, what string) ([]V, bool) {
		var all []V
		for _, e := range d.List(n, what, true) {
			if d.Exhausted() {
				break
			}
			if v, ok := k.Read(d, e, what); ok {
				all = append(all, v)
			}
		}
		return all, true
	}}
}

// SetOf is ListOf values that differ in their names.
func SetOf[V any](k Kind[V], name func(V) string) Kind[[]V] {
	s := Schema{"anyOf": []Schema{k.Schema, {"type": "array", "items": k.Schema, "minItems": 1, "uniqueItems": true}}}
	return Kind[[]V]{s, func(d *Decoder, n *yaml.Node, what string) ([]V, bool) {
		seen := map[string]bool{}
		element := Kind[V]{Read: func(d *Decoder, e *yaml.Node, what string) (V, bool) {
			v, ok := k.Read(d, e, what)
			if ok && seen[name(v)] {
				d.Fail(d.Resolve(e), "%s: %s is listed twice", what, quote.Word(d.Resolve(e).Value))
				return v, false
			}
			seen[name(v)] = true
			return v, ok
		}}
		return ListOf(element).Read(d, n, what)
	}}
}

const (
	sizePattern     = `^[0-9]+(\.[0-9]+)? ?([kKmMgGtTpP][iI]?)?[bB]?$`
	durationPattern = `^([0-9]+(\.[0-9]+)?(w|d|h|m|s|ms))+$`

	ratePattern      = `(unlimited|[0-9]+(\.[0-9]+)? ?([kKmMgG][iI]?)?[bB]/s)`
	clockPattern     = `([01]?[0-9]|2[0-4]):[0-5][0-9]`
	timetablePattern = `^` + ratePattern + `$|^` + clockPattern + `-` + clockPattern + ` +` + ratePattern +
		`(, *` + clockPattern + `-` + clockPattern + ` +` + ratePattern + `)*(, *else +` + ratePattern + `)?$`

	// leastRate is the least bandwidth, in bytes a second: below it, both sides take the other one for silent.
	leastRate = 1 << 10
)

var (
	sizeForm      = regexp.MustCompile(sizePattern)
	durationForm  = regexp.MustCompile(durationPattern)
	timetableForm = regexp.MustCompile(timetablePattern)
	longUnits     = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)([wd])`)
)

// Size is a number of bytes: `5GiB` counts by 1024, `5GB` and `5G` by 1000.
func Size() Kind[int64] {
	s := OrVariable(Schema{"type": []string{"string", "integer"}, "pattern": sizePattern, "minimum": 1})
	return Parsed(s, parseSize, "write a size as `5GiB`, `500MB` or, in bytes, `1000000`")
}

func parseSize(s string) (int64, error) {
	if !sizeForm.MatchString(s) {
		return 0, fmt.Errorf("%s is not a size", quote.Word(s))
	}
	parse := units.FromHumanSize
	if strings.ContainsAny(s, "iI") {
		parse = units.RAMInBytes
	}
	bytes, err := parse(strings.TrimRight(s, "iIbB")) // it does not know 5Gi, as Kubernetes writes it
	switch {
	case err != nil || bytes < 0 || bytes == math.MaxInt64:
		return 0, fmt.Errorf("%s is too large", quote.Word(s))
	case bytes == 0:
		return 0, fmt.Errorf("%s is not greater than zero", quote.Word(s))
	default:
		return bytes, nil
	}
}

// Duration is a length of time: what [time.ParseDuration] reads, and days and weeks.
func Duration() Kind[time.Duration] {
	s := OrVariable(Schema{"type": "string", "pattern": durationPattern})
	parse := func(text string) (time.Duration, error) {
		t, err := ParseDuration(text)
		if err == nil && t == 0 {
			err = fmt.Errorf("%s is not greater than zero", quote.Word(text))
		}
		return t, err
	}
	return Parsed(s, parse, "write a duration as `90s`, `30m`, `1h30m`, `2d` or `12w`")
}

// ParseDuration reads a length of time, which is never negative. Only zero needs no unit.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if !durationForm.MatchString(s) {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, fmt.Errorf("%s has no unit", quote.Word(s))
		}
		return 0, fmt.Errorf("%s is not a duration", quote.Word(s))
	}
	inHours := longUnits.ReplaceAllStringFunc(s, func(part string) string {
		days, _ := strconv.ParseFloat(part[:len(part)-1], 64)
		if strings.HasSuffix(part, "w") {
			days *= 7
		}
		return strconv.FormatFloat(days*24, 'f', -1, 64) + "h"
	})
	t, err := time.ParseDuration(inHours)
	if err != nil {
		return 0, fmt.Errorf("%s is too long", quote.Word(s))
	}
	return t, nil
}

// Timetable is a bandwidth: `10MiB/s`, or `08:00-20:00 10MiB/s, else unlimited`.
func Timetable() Kind[limit.Timetable] {
	s := OrVariable(Schema{"type": "string", "pattern": timetablePattern})
	return Parsed(s, parseTimetable, "write a bandwidth as `10MiB/s` or `08:00-20:00 10MiB/s, else unlimited`")
}

func parseTimetable(s string) (limit.Timetable, error) {
	var table limit.Timetable
	if !timetableForm.MatchString(s) {
		return table, fmt.Errorf("%s is not a bandwidth", quote.Word(s))
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		when, speed, timed := strings.Cut(part, " ")
		if !timed || !strings.Contains(when, ":") && when != "else" { // "10 MiB/s" has a space, too
			when, speed = "else", part
		}
		var bytes int64
		if speed = strings.TrimSpace(speed); speed != "unlimited" {
			var err error
			if bytes, err = parseSize(strings.TrimSuffix(speed, "/s")); err != nil {
				return table, err
			} else if bytes < leastRate {
				return table, fmt.Errorf("%s is less than the minimum of 1KiB/s", quote.Word(speed))
			}
		}
		if when == "else" {
			table.Otherwise = bytes
			continue
		}
		from, to, _ := strings.Cut(when, "-")
		period := limit.Period{From: parseClock(from), To: parseClock(to), BytesPerSecond: bytes}
		if period.From == period.To || max(period.From, period.To) > 24*time.Hour {
			return table, fmt.Errorf("%s is not a time range", quote.Word(when))
		}
		table.Periods = append(table.Periods, period)
	}
	return table, nil
}

// parseClock reads a time of day of the right form.
func parseClock(s string) time.Duration {
	var hours, minutes int
	_, _ = fmt.Sscanf(s, "%d:%d", &hours, &minutes)
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
}
