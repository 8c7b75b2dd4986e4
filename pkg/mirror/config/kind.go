package config

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/limit"
)

// kind is a type of value: what it looks like, and how a node is read as one. Read records
// what is wrong with the node; what is the value's name in messages.
type kind[V any] struct {
	schema schema
	read   func(d *decoder, n *yaml.Node, what string) (V, bool)
}

// text is any scalar, as it stands in the file.
func text() kind[string] {
	return kind[string]{textSchema(), (*decoder).text}
}

// secret is text that is never shown.
func secret() kind[Secret] {
	return kind[Secret]{textSchema(), func(d *decoder, n *yaml.Node, what string) (Secret, bool) {
		s, ok := d.text(n, what)
		return Secret(s), ok
	}}
}

// existing is the path of a file that is there.
func existing() kind[string] {
	return kind[string]{textSchema(), (*decoder).file}
}

// flag is true or false.
func flag() kind[bool] {
	return kind[bool]{orVariable(schema{"type": "boolean"}), (*decoder).boolean}
}

// number is a whole number from least on.
func number(least int) kind[int] {
	return kind[int]{
		orVariable(schema{"type": "integer", "minimum": least}),
		func(d *decoder, n *yaml.Node, what string) (int, bool) { return d.integer(n, what, least) },
	}
}

// choice is one of some words.
func choice[W ~string](words ...W) kind[W] {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return kind[W]{
		orVariable(schema{"enum": list}),
		func(d *decoder, n *yaml.Node, what string) (W, bool) {
			word, ok := d.choice(n, what, list...)
			return W(word), ok
		},
	}
}

// size is a number of bytes.
func size() kind[int64] {
	return kind[int64]{orVariable(schema{"type": []string{"string", "integer"}, "pattern": sizePattern, "minimum": 1}), (*decoder).size}
}

// duration is a length of time.
func duration() kind[time.Duration] {
	return kind[time.Duration]{orVariable(schema{"type": "string", "pattern": durationPattern}), (*decoder).duration}
}

// timetable is a bandwidth that may depend on the time of day.
func timetable() kind[limit.Timetable] {
	return kind[limit.Timetable]{orVariable(schema{"type": "string", "pattern": timetablePattern}), (*decoder).timetable}
}

// listOf is a list of values, or one of them alone. Those that are wrong are left out.
func listOf[V any](k kind[V]) kind[[]V] {
	return kind[[]V]{oneOrMore(k.schema), func(d *decoder, n *yaml.Node, what string) ([]V, bool) {
		var all []V
		for _, e := range d.list(n, what, true) {
			if d.exhausted() {
				break
			}
			if v, ok := k.read(d, e, what); ok {
				all = append(all, v)
			}
		}
		return all, true
	}}
}
