package auth

import (
	"slices"
	"strings"
)

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

func repositoryScope(name string, actions ...string) scope {
	return newScope("repository", name, actions...)
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
	return Scopes{repositoryScope(name, actions...)}
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

// and is s with more. It does not change s.
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
