package reference

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
)

// ParseError explains why a text is not a reference.
type ParseError struct {
	// Input is what was read, without the password of an URL.
	Input string
	// Reason says what is wrong with it and, where that is known, what to write instead.
	Reason string
}

func (e *ParseError) Error() string { return fmt.Sprintf("%q: %s", e.Input, e.Reason) }

func parseError(input string, reason error) error {
	return &ParseError{Input: withoutUserInfo(input), Reason: reason.Error()}
}

// defaultTag is what Docker takes where neither a tag nor a digest is given.
const defaultTag = "latest"

// Parse reads a reference to an image. Docker-like names get the tag "latest" if they have neither tag nor digest; others
// keep it empty. Errors are of type [ParseError].
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

// ParseRepository reads a reference to a repository; a tag or digest is an error. Errors are of type [ParseError].
func ParseRepository(s string) (Reference, error) {
	r, err := parse(s)
	if err == nil && r.Identifier() != "" {
		err = fmt.Errorf("names an image (%s), not a repository; write %s",
			r.Identifier(), r.FamiliarName())
	}
	if err != nil {
		return Reference{}, parseError(s, err)
	}
	return r, nil
}

func parse(s string) (Reference, error) {
	if s == "" {
		return Reference{}, errors.New("empty name; write a name such as nginx:1.25 or harbor.corp/team/app")
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return Reference{}, errors.New("contains a line break or another control character")
	}
	if scheme, rest, found := strings.Cut(s, "://"); found && !strings.ContainsAny(scheme, "/@") {
		return parseURL(scheme, rest)
	}
	t, rest, found := cutPrefix(s)
	if found && strings.TrimSpace(rest) == "" {
		return Reference{}, fmt.Errorf("a name is missing after %q", t+":")
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
		return Reference{}, fmt.Errorf("is a URL; omit the scheme%s", suggest(afterScheme(rest)))
	case lower == string(Layout):
		return Reference{}, fmt.Errorf("oci: names a directory; write oci:DIR; for a registry, omit oci://%s",
			suggest(afterScheme(rest)))
	case isPrefix(lower):
		return Reference{}, fmt.Errorf("%s: is written without //", lower)
	default:
		return Reference{}, fmt.Errorf("unknown transport %q; the transports are %s", scheme+"://", prefixes)
	}
}

// afterScheme turns the rest of a URL, perhaps that of a page of Docker Hub, into the name that was probably meant.
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

// suggest returns a corrected form for the end of a message, or nothing if that form is not valid either.
func suggest(corrected string) string {
	if r, err := parse(corrected); err != nil || r.Transport != Registry {
		return ""
	}
	return ": " + corrected
}

// parseLayout reads DIR[:TAG][@DIGEST], or DIR:NAME with the full name of an image, whose host is written out. Tag and
// digest are looked for in the last element of the path only, so that the directories above may have any name
// but one that looks like such a host after a colon.
func parseLayout(t Transport, s string) (Reference, error) {
	for i := range len(s) {
		if s[i] != ':' {
			continue
		}
		dir, name := s[:i], s[i+1:]
		if host, _ := splitHost(name); !isFullHost(host) {
			continue
		}
		if r, err := parseName(t, name); err == nil {
			r.Path = dir
			return r, checkPath(t, dir)
		}
	}
	r := Reference{Transport: t}
	dir, last := path.Split(s)
	last, err := cutLayoutDigest(last, &r)
	if err != nil {
		return Reference{}, err
	}
	if colon := strings.LastIndex(last, ":"); colon >= 0 {
		if r.Tag, last = last[colon+1:], last[:colon]; r.Tag == "" {
			return Reference{}, errTagMissing
		}
		if err := CheckTag(r.Tag); err != nil {
			return Reference{}, err
		}
		if strings.Contains(last, ":") {
			return Reference{}, errors.New("two colons after the last slash; only a tag may follow a colon")
		}
	}
	r.Path = dir + last
	return r, checkPath(t, r.Path)
}

// isFullHost reports whether the host of a name cannot be taken for a directory such as v1.2.
func isFullHost(host string) bool {
	name, port, err := splitPort(host)
	last := name[strings.LastIndex(name, ".")+1:]
	return err == nil && (port != "" || name == "localhost" || last != name && strings.Trim(last, "0123456789") != "")
}

// cutLayoutDigest takes for a digest only what begins with an algorithm, because the name of a directory may have an @.
func cutLayoutDigest(last string, r *Reference) (string, error) {
	at := strings.LastIndex(last, "@")
	if at < 0 {
		return last, nil
	}
	switch algorithm, _, _ := strings.Cut(last[at+1:], ":"); algorithm {
	case "sha256", "sha384", "sha512":
		d, err := parseDigest(last[at+1:])
		r.Digest = d
		return last[:at], err
	default:
		return last, nil
	}
}

// parseDockerArchive reads FILE[:NAME]. A name may have slashes and colons, so it begins after the first colon.
func parseDockerArchive(s string) (Reference, error) {
	file, name, found := strings.Cut(s, ":")
	r := Reference{Transport: DockerArchive}
	if found {
		var err error
		if r, err = parseName(DockerArchive, name); err != nil {
			return Reference{}, err
		}
		if r.Digest != "" {
			return Reference{}, errors.New("images in a Docker archive have tags, not digests")
		}
	}
	r.Path = file
	return r, checkPath(DockerArchive, file)
}

func checkPath(t Transport, path string) error {
	switch {
	case strings.TrimSpace(path) == "":
		what := "file"
		if t == Layout {
			what = "directory"
		}
		return fmt.Errorf("the %s after %s: is missing", what, t)
	case path == "~" || strings.HasPrefix(path, "~/"):
		return fmt.Errorf("~ is not expanded after a prefix; write %s:$HOME%s", t, path[1:])
	case t != Layout && strings.HasSuffix(path, "/"):
		return fmt.Errorf("%s is a directory, not a file", path)
	}
	return nil
}

var errCredentials = errors.New("a name cannot contain a user name and password; use regsync login HOST")

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

// credentialsEnd returns the position of the @ in a name that begins with user:password@host; negative for other names. The
// @ before a digest does not count.
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
