package auth

import (
	"net/http"
	"strings"
)

// challenge is one way to authenticate that a 401 offers (RFC 9110, 11.6.1).
type challenge struct {
	scheme string // in lower case
	params map[string]string
}

// pick is the challenge that we can answer, or nil: Bearer before Basic.
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

// parseChallenges reads what registries send, which is not always what the RFC says: what
// cannot be read is left out.
func parseChallenges(header string) []challenge {
	var found []challenge
	for s := (scanner{rest: header}); ; {
		s.skip(" \t,")
		word := s.token()
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

func (s *scanner) token() string {
	end := strings.IndexAny(s.rest, " \t,=\"")
	if end < 0 {
		end = len(s.rest)
	}
	token := s.rest[:end]
	s.rest = s.rest[end:]
	return token
}

// value is a token or a quoted string.
func (s *scanner) value() string {
	if !strings.HasPrefix(s.rest, `"`) {
		end := strings.IndexAny(s.rest, " \t,")
		if end < 0 {
			end = len(s.rest)
		}
		value := s.rest[:end]
		s.rest = s.rest[end:]
		return value
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
