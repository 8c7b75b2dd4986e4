package config

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// list gives the elements of a list, which may not be empty. With single, one value that is
// no list counts as a list of one.
func (d *decoder) list(n *yaml.Node, what string, single bool) []*yaml.Node {
	target := d.resolve(n)
	switch {
	case target.Kind == yaml.SequenceNode && plainTag(target):
		if len(target.Content) == 0 {
			d.fail(target, "%s is an empty list", what)
		}
		return target.Content
	case single && target.Kind == yaml.ScalarNode && target.Tag != "!!null":
		return []*yaml.Node{target}
	case single:
		d.wrongType(target, what, "text or a list")
	default:
		d.wrongType(target, what, "a list")
	}
	return nil
}

// text gives a scalar as it stands in the file, with its variables replaced.
func (d *decoder) text(n *yaml.Node, what string) (string, bool) {
	n = d.resolve(n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || !plainTag(n) {
		d.wrongType(n, what, "text")
		return "", false
	}
	return d.expand(n)
}

// filled is text that is not empty.
func (d *decoder) filled(n *yaml.Node, what string) (string, bool) {
	s, ok := d.text(n, what)
	if ok && strings.TrimSpace(s) == "" {
		d.fail(d.resolve(n), "%s is empty", what)
		return "", false
	}
	return s, ok
}

// boolean reads true or false; as text only where that comes from a variable.
func (d *decoder) boolean(n *yaml.Node, what string) (bool, bool) {
	n = d.resolve(n)
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!bool" || hasVariable(n)) {
		s, ok := d.expand(n)
		if !ok {
			return false, false
		}
		switch strings.ToLower(s) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	d.wrongType(n, what, "true or false")
	return false, false
}

// integer reads a whole number from least on.
func (d *decoder) integer(n *yaml.Node, what string, least int) (int, bool) {
	n = d.resolve(n)
	number := n.Tag == "!!int" || n.Tag == "!!float" || hasVariable(n)
	if n.Kind != yaml.ScalarNode || !number {
		d.wrongType(n, what, "a whole number")
		return 0, false
	}
	s, ok := d.expand(n)
	if !ok {
		return 0, false
	}
	value, err := strconv.Atoi(s)
	switch {
	case err != nil:
		d.fail(n, "%s must be a whole number, which %s is not", what, quote.Word(n.Value))
	case value < least:
		d.fail(n, "%s must be at least %d", what, least)
	default:
		return value, true
	}
	return 0, false
}

// choice reads one of several words.
func (d *decoder) choice(n *yaml.Node, what string, words ...string) (string, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return "", false
	}
	if slices.Contains(words, s) {
		return s, true
	}
	d.suggest(d.resolve(n), didYouMean(s, words), "%s must be %s", what, enumerate(words, "or"))
	return "", false
}
