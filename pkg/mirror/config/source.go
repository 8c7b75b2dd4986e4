package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/config/internal/decode"
	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

// decodeFrom reads the value of `from`.
func decodeFrom(d *decode.Decoder, n *yaml.Node, what string, into *draft) {
	for _, e := range d.List(n, what, true) {
		text, ok := d.Filled(e, what)
		if !ok {
			into.broken = true
			continue
		}
		into.written = append(into.written, text)
		e = d.Resolve(e)
		if err := into.addSources(d, text, d.Source, d.Source.At(e), e); err != nil {
			d.Invalid(e, what, err, "")
		}
	}
}

// decodeFromFile reads the sources in the file that the value of `fromFile` names, one per line.
func decodeFromFile(d *decode.Decoder, n *yaml.Node, what string, into *draft) {
	n = d.Resolve(n)
	into.written = append(into.written, n.Value)
	text, _ := d.Filled(n, what)
	data, path, shown, ok := d.ReadFile(n, what)
	var src *document.Source
	if ok {
		src, ok = document.New(d.Source.Display(text), filepath.Dir(path), data, d.Problems)
	}
	if !ok {
		into.broken = true
		return
	}
	d.Allow(src.Size())
	empty := true
	for i, line := range src.Lines {
		content, _, _ := strings.Cut(line, "#")
		trimmed := strings.TrimLeft(content, " \t")
		name := strings.TrimSpace(trimmed)
		if name == "" {
			continue
		}
		empty = false
		at := src.Position(i+1, 1+len(content)-len(trimmed))
		err := fmt.Errorf("%s: variables are not replaced in a `fromFile` list", quote.Word(name))
		if !strings.Contains(name, "${") {
			err = into.addSources(d, name, src, at, n)
		}
		if err != nil {
			d.Problems.Add(src, at, err.Error(), "")
			into.broken = true
		}
	}
	if empty {
		d.Fail(n, "%s: %s lists no images", what, shown)
	}
}

// addSources adds the sources of an element of `from`, or of a line of a list. Problems are
// reported at the node.
func (in *draft) addSources(d *decode.Decoder, text string, src *document.Source, at Position, n *yaml.Node) error {
	text, excluded := strings.CutPrefix(text, "!")
	names, err := expandBraces(text)
	for _, name := range names {
		if d.Visit(n); d.Exhausted() {
			break
		}
		s, wrong := parseSource(name)
		if wrong == nil && excluded && s.Glob == "" {
			if !s.Reference.IsRegistry() || !s.IsRepository() {
				wrong = fmt.Errorf("%s: only repositories of a registry can be excluded; select tags with `tags`", quote.Word("!"+name))
			}
			s.Glob = s.Reference.Repository
		}
		if wrong != nil {
			if err == nil { // the others are the same mistake
				err = wrong
			}
			continue
		}
		if s.Reference.Path != "" {
			s.Reference.Path = src.Path(s.Reference.Path)
		}
		s.Position, s.src = at, src
		if excluded {
			in.exclusions = append(in.exclusions, s)
		} else {
			in.Sources = append(in.Sources, s)
		}
	}
	in.broken = in.broken || err != nil
	return err
}

// applyExclusions adds to each pattern of an entry the exclusions that apply to it.
func applyExclusions(d *decode.Decoder, in *draft) {
	for _, out := range in.exclusions {
		excludes := func(name string) bool { return glob.Match(out.Glob, name) }
		problem, used := "", false
		for i := range in.Sources {
			s := &in.Sources[i]
			switch {
			case !s.Reference.IsRegistry() || s.Reference.Registry != out.Reference.Registry:
			case s.Glob == "" && excludes(s.Reference.Repository):
				problem = fmt.Sprintf("excludes %s, but `from` also lists it", s)
			case s.Glob == "":
			case s.Glob == out.Glob || within(s.Glob, out.Glob, excludes):
				problem = fmt.Sprintf("excludes all of %s", s)
			default:
				s.Exclude, used = append(s.Exclude, out.Glob), true
			}
		}
		if problem == "" && !used {
			problem = "excludes nothing: `from` has no pattern of repositories at " + out.Reference.Registry
		}
		if problem != "" && !in.broken {
			d.Problems.Add(out.src, out.Position, quote.Word("!"+out.String())+" "+problem, "")
		}
	}
}

// parseSource reads one image, one repository or, where the path has a glob, a pattern of
// repositories.
func parseSource(text string) (Source, error) {
	host, path := "", strings.TrimPrefix(text, string(reference.Registry)+"://")
	if first, rest, found := strings.Cut(path, "/"); found {
		if _, isHost := registryOf(first); isHost {
			host, path = first, rest
		}
	}
	if glob.Is(path) {
		return parseGlob(text, host, path)
	}
	ref, err := parseReference(text)
	return Source{Reference: ref}, err
}

func parseGlob(text, host, pattern string) (Source, error) {
	first, _, deeper := strings.Cut(pattern, "/")
	colon := strings.LastIndex(pattern, ":")
	tagged := colon >= 0 && !strings.Contains(pattern[colon:], "/")
	switch {
	case tagged && !glob.Is(pattern[:colon]):
		return Source{}, fmt.Errorf("%s has a pattern for a tag; write `tags: {include: [%q]}`", quote.Word(text), pattern[colon+1:])
	case !glob.Valid(pattern):
		return Source{}, fmt.Errorf("%s is not a valid glob: unclosed `[`, or a `-` that is not a range", quote.Word(text))
	case strings.Contains(pattern, "**"):
		return Source{}, fmt.Errorf("%s: `**` is not supported; `*` matches one path component, so write `*/*`", quote.Word(text))
	case host == "" && deeper && glob.Is(first) && strings.ContainsAny(first, ".:"):
		return Source{}, fmt.Errorf("%s: the host of a registry cannot be a pattern", quote.Word(text))
	}
	name := glob.Replace(pattern, conflict.Wild)
	if host != "" {
		name = host + "/" + name
	}
	sample, err := parseReference(name)
	switch {
	case err != nil:
		return Source{}, fmt.Errorf("pattern %s, tested as %w", quote.Word(text), err)
	case sample.Transport != reference.Registry:
		return Source{}, fmt.Errorf("%s: a pattern can select only repositories of a registry", quote.Word(text))
	case sample.Identifier() != "":
		return Source{}, fmt.Errorf("%s: a repository pattern cannot have a tag; select tags with `tags`", quote.Word(text))
	case sample.Registry != reference.DockerHub:
	case !deeper:
		pattern = "library/" + pattern
	case glob.Is(first):
		return Source{}, fmt.Errorf("%s: Docker Hub lists only the repositories of a namespace; name one, as in `docker.io/team/*`", quote.Word(text))
	}
	return Source{Reference: reference.Reference{Transport: reference.Registry, Registry: sample.Registry}, Glob: pattern}, nil
}

// maxBraces is how many texts one may stand for.
const maxBraces = 1000

// expandBraces expands the groups of a text such as "nginx:{1.27,1.28}". Several groups multiply,
// and the last one varies fastest. A text without groups is returned unchanged.
func expandBraces(s string) ([]string, error) {
	texts := []string{""}
	for rest := s; ; {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			return join(texts, []string{rest}), nil
		}
		inside, after, closed := strings.Cut(rest[at+1:], "}")
		switch {
		case rest[at] == '}':
			return nil, fmt.Errorf("unmatched `}` in %s", quote.Word(s))
		case !closed:
			return nil, fmt.Errorf("unmatched `{` in %s", quote.Word(s))
		case strings.HasPrefix(inside, "{"):
			return nil, fmt.Errorf("%s: parts such as `{{.Base}}` are allowed only in `to` and `rename`", quote.Word(s))
		case strings.Contains(inside, "{"):
			return nil, errors.New("nested braces are not supported")
		}
		alternatives := strings.Split(inside, ",")
		for i, a := range alternatives {
			alternatives[i] = strings.TrimSpace(a)
		}
		if len(texts)*len(alternatives) > maxBraces {
			return nil, fmt.Errorf("%s expands to more than %d images", quote.Word(s), maxBraces)
		}
		texts = join(join(texts, []string{rest[:at]}), alternatives)
		rest = after
	}
}

// join returns each of the heads with each of the tails.
func join(heads, tails []string) []string {
	all := make([]string, 0, len(heads)*len(tails))
	for _, head := range heads {
		for _, tail := range tails {
			all = append(all, head+tail)
		}
	}
	return all
}
