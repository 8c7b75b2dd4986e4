package auth

import (
	"net/http"
	"slices"
	"strings"
)

// challenge is one way to authenticate that a 401 offers (RFC 9110, 11.6.1).
type challenge struct {
	scheme string // in lower case
	params map[string]string
}

// pick returns the challenge to answer, or nil: Bearer before Basic.
func pick(header http.Header) *challenge {
	var basic *challenge
	for _, c := range parseChallenges(strings.Join(header.Values("WWW-Authenticate"), ", ")) {
		switch {
		case c.scheme == "bearer" && c.params["realm"] != "":
			return &c
		case c.scheme == "basic":
			basic = &c
		}
	}
	return basic
}

// parseChallenges parses the challenges of a header. What the RFC does not allow is left out: some registries send it.
func parseChallenges(header string) []challenge {
	var found []challenge
	for s := (scanner{rest: header}); ; {
		s.skip(" \t,")
		word := s.until(" \t,=\"")
		if word == "" {
			if s.rest == "" {
				return found
			}
			s.rest = s.rest[1:]
			continue
		}
		s.skip(" \t")
		if len(found) == 0 || !strings.HasPrefix(s.rest, "=") {
			found = append(found, challenge{strings.ToLower(word), map[string]string{}})
			continue
		}
		s.rest = s.rest[1:]
		s.skip(" \t")
		if params, key := found[len(found)-1].params, strings.ToLower(word); params[key] == "" {
			params[key] = s.value()
		} else {
			s.value()
		}
	}
}

type scanner struct{ rest string }

func (s *scanner) skip(cutset string) { s.rest = strings.TrimLeft(s.rest, cutset) }

// until takes the text before the first of the characters in cutset.
func (s *scanner) until(cutset string) string {
	end := strings.IndexAny(s.rest, cutset)
	if end < 0 {
		end = len(s.rest)
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	return word
}

// value takes a token or a quoted string.
func (s *scanner) value() string {
	if !strings.HasPrefix(s.rest, `"`) {
		return s.until(" \t,")
	}
	var value strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch {
		case s.rest[i] == '"':
			s.rest = s.rest[i+1:]
			return value.String()
		case s.rest[i] == '\\' && i+1 < len(s.rest):
			i++
			fallthrough
		default:
			value.WriteByte(s.rest[i])
		}
	}
	s.rest = ""
	return value.String()
}

// scope is what a token allows on one thing ("Token Scope Documentation", distribution):
// repository:library/nginx:pull,push.
type scope struct {
	kind, name string
	actions    []string // sorted, each once
}

func newScope(kind, name string, actions ...string) scope {
	slices.Sort(actions)
	return scope{kind, name, slices.Compact(actions)}
}

// parseScope reads one scope; names may have colons.
func parseScope(s string) (scope, bool) {
	kind, rest, _ := strings.Cut(s, ":")
	colon := strings.LastIndex(rest, ":")
	if kind == "" || colon < 0 {
		return scope{}, false
	}
	return newScope(kind, rest[:colon], strings.Split(rest[colon+1:], ",")...), true
}

func (s scope) String() string { return s.kind + ":" + s.name + ":" + strings.Join(s.actions, ",") }

func (s scope) allows(need scope) bool {
	return s.kind == need.kind && s.name == need.name && !slices.ContainsFunc(need.actions, func(action string) bool {
		return !slices.Contains(s.actions, action) && !slices.Contains(s.actions, "*")
	})
}

// Scopes is a set of scopes; each resource occurs once.
type Scopes []scope

// Repository returns the scope of actions on a repository.
func Repository(name string, actions ...string) Scopes {
	return Scopes{newScope("repository", name, actions...)}
}

// Catalog returns the scope of listing the repositories of a registry.
func Catalog() Scopes { return Scopes{newScope("registry", "catalog", "*")} }

// parseScopes reads a list separated by spaces, leaving out what is no scope, and those that no registry sends: they
// are kept with tokens and repositories.
func parseScopes(s string) Scopes {
	var all Scopes
	for field := range strings.FieldsSeq(s) {
		parsed, ok := parseScope(strings.Clone(field)) // without the rest of the header
		if ok && len(field) <= maxScope && len(all) < maxScopes {
			all = all.and(parsed)
		}
	}
	return all
}

// and returns s with more. It does not change s.
func (s Scopes) and(more ...scope) Scopes {
	merged := slices.Clone(s)
	for _, m := range more {
		i := slices.IndexFunc(merged, func(have scope) bool { return have.kind == m.kind && have.name == m.name })
		if i < 0 {
			merged = append(merged, m)
		} else {
			merged[i] = newScope(m.kind, m.name, slices.Concat(merged[i].actions, m.actions)...)
		}
	}
	return merged
}

func (s Scopes) covers(need Scopes) bool {
	return !slices.ContainsFunc(need, func(n scope) bool {
		return !slices.ContainsFunc(s, func(have scope) bool { return have.allows(n) })
	})
}

func (s Scopes) strings() []string {
	texts := make([]string, len(s))
	for i := range s {
		texts[i] = s[i].String()
	}
	return texts
}

func (s Scopes) String() string { return strings.Join(s.strings(), " ") }
