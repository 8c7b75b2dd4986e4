package config

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// from reads the value of `from`.
func (d *decoder) from(n *yaml.Node, what string, into *draft) {
	for _, e := range d.list(n, what, true) {
		text, ok := d.filled(e, what)
		if !ok {
			into.broken = true
			continue
		}
		into.written = append(into.written, text)
		node := d.resolve(e)
		sources, err := d.sources(text, d.src, d.src.at(node), node)
		if err != nil {
			d.invalid(node, err)
			into.broken = true
		}
		into.from = append(into.from, sources...)
	}
}

// sources reads an element of `from` or a line of a list, with its braces. Each source is
// work that the node has made.
func (d *decoder) sources(text string, src *source, at Position, n *yaml.Node) ([]Source, error) {
	names, err := expandBraces(text)
	if err != nil {
		return nil, err
	}
	var all []Source
	var wrong error // the first is told: the others are the same mistake
	for _, name := range names {
		if d.visit(n); d.exhausted() {
			return all, wrong
		}
		s, err := parseSource(name)
		if err != nil {
			if wrong == nil {
				wrong = err
			}
			continue
		}
		if s.Reference.Path != "" {
			s.Reference.Path = src.path(s.Reference.Path)
		}
		s.Position, s.src = at, src
		all = append(all, s)
	}
	return all, wrong
}

// globMeta are the characters that make a glob.
const globMeta = "*?["

// parseSource reads one image, one repository or, where the path has a glob, a pattern of
// repositories.
func parseSource(text string) (Source, error) {
	host, path := splitHost(text)
	if !strings.ContainsAny(path, globMeta) {
		ref, err := parseReference(text)
		return Source{Reference: ref}, err
	}
	return parseGlob(text, host, path)
}

// splitHost splits off what names the registry, or nothing where that is left out.
func splitHost(text string) (host, path string) {
	text = strings.TrimPrefix(text, string(reference.Registry)+"://")
	first, rest, found := strings.Cut(text, "/")
	ref, err := reference.ParseRepository(first + "/a/b")
	if !found || err != nil || ref.Transport != reference.Registry || ref.Repository != "a/b" {
		return "", text
	}
	return first, rest
}

// wildcard is an open part of a glob, and sampleName stands in for it where a name is wanted.
var wildcard = regexp.MustCompile(`\*|\?|\[[^\]]*\]`)

const sampleName = "made-up-name"

func parseGlob(text, host, glob string) (Source, error) {
	if err := checkGlob(text, host, glob); err != nil {
		return Source{}, err
	}
	name := wildcard.ReplaceAllString(glob, sampleName)
	if host != "" {
		name = host + "/" + name
	}
	sample, err := parseReference(name)
	namespace, _, deeper := strings.Cut(glob, "/")
	switch {
	case err != nil:
		return Source{}, fmt.Errorf("pattern %s, read as %w", quote.Word(text), err)
	case sample.Transport != reference.Registry:
		return Source{}, fmt.Errorf("%s: only a registry's repositories are found by a pattern", quote.Word(text))
	case sample.Identifier() != "":
		return Source{}, fmt.Errorf("%s: a pattern of repositories has no tag; say which with `tags`", quote.Word(text))
	case sample.Registry != reference.DockerHub:
	case !deeper:
		glob = "library/" + glob
	case strings.ContainsAny(namespace, globMeta):
		return Source{}, fmt.Errorf("%s: Docker Hub lists the repositories of one namespace, which must be named", quote.Word(text))
	}
	return Source{Reference: reference.Reference{Transport: reference.Registry, Registry: sample.Registry}, Glob: glob}, nil
}

// checkGlob finds what is wrong with a pattern before it is read as a name.
func checkGlob(text, host, glob string) error {
	first, _, _ := strings.Cut(glob, "/")
	repository, tag, tagged := cutTag(glob)
	_, err := path.Match(goGlob(glob), "")
	switch {
	case tagged && !strings.ContainsAny(repository, globMeta):
		return fmt.Errorf("%s has a pattern for a tag; write `tags: {include: [%q]}`", quote.Word(text), tag)
	case err != nil:
		return fmt.Errorf("%s is no glob: a `[` is left open, or holds a `-` that is no range", quote.Word(text))
	case strings.Contains(glob, "**"):
		return fmt.Errorf("%s: `**` is not supported; `*` stands for one part of a path, so write `*/*`", quote.Word(text))
	case host == "" && first != glob && strings.ContainsAny(first, globMeta) && strings.ContainsAny(first, ".:"):
		return fmt.Errorf("%s: the host of a registry cannot be a pattern", quote.Word(text))
	default:
		return nil
	}
}

// goGlob is a glob as package path reads it: shells negate a class with `!`, Go with `^`.
func goGlob(glob string) string { return strings.ReplaceAll(glob, "[!", "[^") }

// MatchRepository reports whether a glob means a repository, given by its whole path. `*`
// stands for a part of one of its components.
func MatchRepository(glob, repository string) bool {
	matched, err := path.Match(goGlob(glob), repository)
	return matched && err == nil
}

func cutTag(path string) (repository, tag string, found bool) {
	colon := strings.LastIndex(path, ":")
	if colon < 0 || strings.Contains(path[colon:], "/") {
		return path, "", false
	}
	return path[:colon], path[colon+1:], true
}
