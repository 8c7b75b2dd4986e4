package reference

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// defaultTag is what Docker takes where neither a tag nor a digest is given.
const defaultTag = "latest"

// Parse reads a reference to an image. Docker-like names get the tag "latest" if they have
// neither tag nor digest; others keep it empty. Errors are of type [ParseError].
func Parse(s string) (Reference, error) {
	r, err := parse(s)
	if err != nil {
		return Reference{}, parseError(s, err)
	}
	if r.Repository != "" && r.Identifier() == "" {
		r.Tag = defaultTag
	}
	return r, nil
}

// ParseRepository reads a reference to a repository; a tag or digest is an error. Errors
// are of type [ParseError].
func ParseRepository(s string) (Reference, error) {
	r, err := parse(s)
	if err == nil && r.Identifier() != "" {
		err = fmt.Errorf("names one image (%s) where a repository is wanted: write %s",
			r.Identifier(), r.FamiliarName())
	}
	if err != nil {
		return Reference{}, parseError(s, err)
	}
	return r, nil
}

func parse(s string) (Reference, error) {
	if s == "" {
		return Reference{}, errors.New("no image is named; write a name such as nginx:1.25 or harbor.corp/team/app")
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return Reference{}, errors.New("there is a line break or another control character in it")
	}
	if scheme, rest, found := strings.Cut(s, "://"); found && !strings.ContainsAny(scheme, "/@") {
		return parseURL(scheme, rest)
	}
	t, rest, found := cutPrefix(s)
	if found && strings.TrimSpace(rest) == "" {
		return Reference{}, fmt.Errorf("after %s: there is nothing", t)
	}
	switch t {
	case Layout, OCIArchive:
		return parseLayout(t, rest)
	case DockerArchive:
		return parseDockerArchive(rest)
	default:
		return parseName(t, rest)
	}
}

func parseURL(scheme, rest string) (Reference, error) {
	lower := strings.ToLower(scheme)
	switch {
	case scheme == string(Registry):
		return parseName(Registry, rest)
	case lower == string(Registry):
		return Reference{}, errors.New("write the prefix in lower case: docker://")
	case lower == "http" || lower == "https":
		return Reference{}, fmt.Errorf("is a URL; leave the scheme out%s", suggest(afterScheme(rest)))
	case lower == string(Layout):
		return Reference{}, fmt.Errorf("oci: names a directory; write oci:DIR, or for a registry leave oci:// out%s",
			suggest(afterScheme(rest)))
	case isPrefix(lower):
		return Reference{}, fmt.Errorf("%s: is written without //", lower)
	default:
		return Reference{}, fmt.Errorf("%q is no transport; there are %s", scheme+"://", prefixes)
	}
}

// afterScheme turns the rest of a URL, perhaps one out of a browser at Docker Hub, into the
// name that was probably meant.
func afterScheme(rest string) string {
	if _, host, found := strings.Cut(rest, "@"); found && !strings.ContainsAny(rest[:len(rest)-len(host)], "/") {
		rest = host
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest = strings.Trim(rest, "/")
	for _, page := range []string{"hub.docker.com/_/", "hub.docker.com/r/"} {
		if name, found := strings.CutPrefix(rest, page); found {
			rest, _ = strings.CutSuffix(name, "/tags")
		}
	}
	return rest
}

// suggest is a half-sentence with a corrected form, or nothing if that would not do either.
func suggest(corrected string) string {
	if r, err := parse(corrected); err != nil || r.Transport != Registry {
		return ""
	}
	return ": " + corrected
}
