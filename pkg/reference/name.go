package reference

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	dockerref "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	_ "crypto/sha256" // registers the algorithms that digest.Digest.Validate accepts
	_ "crypto/sha512"
)

// parseName reads a name as Docker does. Distribution's grammar decides, at the end; the checks before it say what is wrong.
func parseName(t Transport, s string) (Reference, error) {
	if err := checkText(s); err != nil {
		return Reference{}, err
	}
	if credentialsEnd(s) >= 0 {
		return Reference{}, errCredentials
	}
	r := Reference{Transport: t}
	name, err := cutIdentifier(s, &r)
	if err != nil {
		return Reference{}, err
	}
	if isBareHost(name, r.Tag) {
		host := strings.TrimSuffix(name+":"+r.Tag, ":")
		return Reference{}, fmt.Errorf("the repository after the host %s is missing: %s/REPOSITORY", host, host)
	}
	host, repository := splitHost(name)
	if host != "" {
		if host, err = nameHost(host); err != nil {
			return Reference{}, err
		}
	}
	if err := checkRepository(host, repository); err != nil {
		return Reference{}, err
	}
	named, err := normalize(host, repository)
	if err != nil {
		return Reference{}, err
	}
	r.Registry, r.Repository = dockerref.Domain(named), dockerref.Path(named)
	return r, nil
}

// nameHost is checkHost for what may be meant as a transport that does not exist.
func nameHost(host string) (string, error) {
	prefix, port, found := strings.Cut(host, ":")
	if found && host[0] != '[' && (port == "" || strings.Trim(port, "0123456789:") != "") {
		return "", fmt.Errorf("%q is neither a transport (%s) nor a host and port", prefix+":", prefixes)
	}
	return checkHost(host)
}

func normalize(host, repository string) (dockerref.Named, error) {
	named, err := dockerref.ParseNormalizedNamed(join(host, repository))
	if errors.Is(err, dockerref.ErrNameTooLong) {
		return nil, fmt.Errorf("the repository has more than %d characters", dockerref.RepositoryNameTotalLengthMax)
	}
	return named, err
}

// checkText refuses what no part of a Docker-like name may hold.
func checkText(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("the name of the image is missing")
	case strings.TrimSpace(s) != s:
		return errors.New("begins or ends with a space")
	case strings.HasPrefix(s, "-"):
		return errors.New("a name cannot begin with a dash; --help lists the flags")
	}
	if looksLikePath(s) {
		return fmt.Errorf("looks like a path; for an OCI layout, write oci:%s", s)
	}
	for _, c := range s {
		switch {
		case unicode.IsSpace(c):
			return errors.New("contains a space")
		case c > unicode.MaxASCII:
			return fmt.Errorf("the character %q (%U) is not allowed in a name", c, c)
		}
	}
	return nil
}

func looksLikePath(s string) bool {
	for _, start := range []string{"/", "./", "../", "~"} {
		if strings.HasPrefix(s, start) {
			return true
		}
	}
	return s == "." || s == ".."
}

func cutIdentifier(s string, r *Reference) (name string, err error) {
	name, hash, found := strings.Cut(s, "@")
	if found {
		if r.Digest, err = parseDigest(hash); err != nil {
			return "", err
		}
	}
	colon := strings.LastIndex(name, ":")
	if colon < 0 || strings.ContainsAny(name[colon:], "/]") {
		return name, nil
	}
	if r.Tag = name[colon+1:]; r.Tag == "" {
		return "", errTagMissing
	}
	return name[:colon], CheckTag(r.Tag)
}

func parseDigest(s string) (digest.Digest, error) {
	d := digest.Digest(s)
	err := d.Validate()
	if err == nil {
		return d, nil
	}
	algorithm, hex, found := strings.Cut(s, ":")
	known := digest.Algorithm(algorithm)
	switch {
	case s == "":
		return "", errors.New("the digest after the @ is missing")
	case !found || strings.Contains(s, "/"):
		return "", fmt.Errorf("want a digest such as sha256:… after the @, not %q", s)
	case !known.Available():
		return "", fmt.Errorf("unknown digest algorithm %q; want sha256, sha384 or sha512", algorithm)
	case len(hex) != known.Size()*2:
		return "", fmt.Errorf("the digest has %d characters after %s:, want %d", len(hex), algorithm, known.Size()*2)
	case digest.Digest(strings.ToLower(s)).Validate() == nil:
		return "", errors.New("a digest must be lowercase")
	default:
		return "", fmt.Errorf("the digest after %s: has characters other than 0-9 and a-f", algorithm)
	}
}

// maxTag is in characters (OCI distribution specification, "Pulling manifests": [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}).
const maxTag = 128

var errTagMissing = errors.New("the tag after the colon is missing")

// CheckTag returns why a text is not a tag by the grammar of the OCI distribution specification ("Pulling manifests"). A
// valid tag is one element of a path in a URL or in a file system, and never "." or "..".
func CheckTag(tag string) error {
	switch {
	case tag == "":
		return errors.New("the tag is empty")
	case len(tag) > maxTag:
		return fmt.Errorf("the tag has %d characters; at most %d are allowed", len(tag), maxTag)
	case tag[0] == '.' || tag[0] == '-':
		return fmt.Errorf("the tag %q begins with %q; it must begin with a letter, a digit or _", tag, tag[0])
	}
	for _, c := range tag {
		if !isAlphanumeric(c) && !strings.ContainsRune("._-", c) {
			return fmt.Errorf("the tag %q contains %q; allowed are letters, digits, and . _ -", tag, c)
		}
	}
	return nil
}

func isAlphanumeric(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// CheckRepository returns why a text is not the path of a repository at a registry, such as "library/nginx". The grammar is
// that of the OCI distribution specification ("Pulling manifests") with Docker's limit of 255 characters. No element of a
// valid path is empty, "." or "..".
func CheckRepository(path string) error {
	const anyHost = "host.invalid"
	named, err := dockerref.WithName(anyHost + "/" + path)
	if err == nil && dockerref.Path(named) == path {
		return nil
	}
	if err := checkRepository("", path); err != nil {
		return err
	}
	if _, err := normalize(anyHost, path); err != nil {
		return err
	}
	return fmt.Errorf("%q is not a repository path", path)
}

func checkRepository(host, repository string) error {
	switch {
	case host != "" && repository == "":
		return fmt.Errorf("the repository after the host %s is missing", host)
	case repository == "":
		return errors.New("the name before the tag or digest is missing")
	case strings.HasSuffix(repository, "/"):
		return fmt.Errorf("ends with a slash; remove it, or add a name%s",
			suggest(join(host, strings.TrimRight(repository, "/"))))
	case strings.HasPrefix(repository, "/") || strings.Contains(repository, "//"):
		return errors.New("contains two slashes in a row")
	case strings.ToLower(repository) != repository:
		return fmt.Errorf("repository name must be lowercase: %s", join(host, strings.ToLower(repository)))
	case host == "" && dockerref.IdentifierRegexp.FindString(repository) == repository:
		return errors.New("is an image ID, not a name")
	}
	for component := range strings.SplitSeq(repository, "/") {
		if err := checkComponent(component); err != nil {
			return err
		}
	}
	return nil
}

func checkComponent(component string) error {
	for _, c := range component {
		if c == ':' {
			return fmt.Errorf("unexpected colon in %q; only a tag or a port may follow a colon", component)
		}
		if !isAlphanumeric(c) && !strings.ContainsRune("._-", c) {
			return fmt.Errorf("the repository contains %q; allowed are a-z, 0-9, and . _ - between them", c)
		}
	}
	if named, err := dockerref.WithName("host.invalid/" + component); err != nil || dockerref.Path(named) != component {
		return fmt.Errorf("invalid repository component %q: letters and digits may be separated by one . or _, by two _, or by dashes", component)
	}
	return nil
}

func join(host, repository string) string {
	if host == "" {
		return repository
	}
	return host + "/" + repository
}
