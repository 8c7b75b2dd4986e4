package reference

import (
	"errors"
	"strings"
)

var errCredentials = errors.New("a user name and a password are no part of a name: regsync login HOST keeps them")

// withoutUserInfo is s with a user name and password before the host replaced by ***.
func withoutUserInfo(s string) string {
	scheme, rest, isURL := strings.Cut(s, "://")
	prefix := scheme + "://"
	if !isURL {
		var t Transport
		t, rest, _ = cutPrefix(s)
		if t == Layout || t == OCIArchive {
			return s // a directory's name may have an @
		}
		prefix = strings.TrimSuffix(s, rest)
	}
	authority, _, _ := strings.Cut(rest, "/")
	at := credentialsEnd(rest)
	switch {
	case at >= 0:
		return prefix + "***" + rest[at:]
	case isURL && scheme != string(Registry) && strings.Contains(authority, "@"):
		return prefix + "***" + rest[strings.LastIndex(authority, "@"):]
	default:
		return s
	}
}

// credentialsEnd is where the @ is of a name that begins as user:password@host does, and
// negative for other names. The @ of a digest, which names its algorithm, is another one.
func credentialsEnd(name string) int {
	at := strings.LastIndex(name, "@")
	if at < 0 {
		return -1
	}
	before, after := name[:at], name[at+1:]
	switch algorithm, _, _ := strings.Cut(after, ":"); algorithm {
	case "sha256", "sha384", "sha512", "md5":
		return credentialsEnd(before)
	}
	if !strings.Contains(before, ":") || strings.Contains(before, "/") && !strings.Contains(after, "/") {
		return -1
	}
	return at
}
