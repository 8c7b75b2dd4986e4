package config

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// hasVariable reports whether a scalar is more than its text.
func hasVariable(n *yaml.Node) bool { return strings.Contains(n.Value, "${") }

// expand replaces the variables in a scalar: `${NAME}`, `${NAME:-default}` where NAME is
// unset or empty; `$${` is a literal `${`, and a lone `$` stays.
func (d *decoder) expand(n *yaml.Node) (string, bool) {
	var b strings.Builder
	complete := true
	rest := n.Value
	for {
		at := strings.Index(rest, "${")
		if at < 0 {
			b.WriteString(rest)
			return b.String(), complete
		}
		if at > 0 && rest[at-1] == '$' {
			b.WriteString(rest[:at-1] + "${")
			rest = rest[at+2:]
			continue
		}
		b.WriteString(rest[:at])
		inside, after, closed := strings.Cut(rest[at+2:], "}")
		variable, fallback, hasFallback := strings.Cut(inside, ":-")
		value, set := "", false
		switch {
		case !closed:
			d.suggest(n, "a literal `${` is written `$${`", "a variable has no closing `}`")
			return "", false
		case !variableName.MatchString(variable):
			d.suggest(n, "a variable is written `${NAME}` or `${NAME:-default}`, a literal `${` is `$${`",
				"%s is not the name of a variable", quote.Word(variable))
			complete = false
		default:
			value, set = d.env(variable)
		}
		switch {
		case hasFallback && value == "":
			value = fallback
		case !set && complete:
			d.suggest(n, "set it, or give it a default: `${"+variable+":-…}`", "the variable `%s` is not set", variable)
			complete = false
		}
		b.WriteString(value)
		rest = after
	}
}
