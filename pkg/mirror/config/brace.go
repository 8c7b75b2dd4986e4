package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// maxBraces is how many texts one may stand for.
const maxBraces = 1000

// expandBraces gives every text that one with groups stands for, as in "nginx:{1.27,1.28}":
// several groups multiply, the last one runs fastest. A text without any stands for itself.
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
			return nil, fmt.Errorf("%s has a `}` without its `{`", quote.Word(s))
		case !closed:
			return nil, fmt.Errorf("%s has a `{` without its `}`", quote.Word(s))
		case strings.HasPrefix(inside, "{"):
			return nil, fmt.Errorf("%s: parts such as `{{.Base}}` are inserted in `to` and `rename` only", quote.Word(s))
		case strings.Contains(inside, "{"):
			return nil, errors.New("braces within braces are not supported")
		}
		alternatives := strings.Split(inside, ",")
		for i, a := range alternatives {
			alternatives[i] = strings.TrimSpace(a)
		}
		if len(texts)*len(alternatives) > maxBraces {
			return nil, fmt.Errorf("%s stands for more than %d images", quote.Word(s), maxBraces)
		}
		texts = join(join(texts, []string{rest[:at]}), alternatives)
		rest = after
	}
}

// join gives each of the heads with each of the tails.
func join(heads, tails []string) []string {
	all := make([]string, 0, len(heads)*len(tails))
	for _, head := range heads {
		for _, tail := range tails {
			all = append(all, head+tail)
		}
	}
	return all
}
