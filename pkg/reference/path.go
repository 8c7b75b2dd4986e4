package reference

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// parseLayout reads DIR[:TAG][@DIGEST], or DIR:NAME with the full name of an image, whose host is written out. Tag and
// digest are looked for in the last element of the path only, so that the directories above may have any name
// but one that looks like such a host after a colon.
func parseLayout(t Transport, s string) (Reference, error) {
	for dir, name := range cutAtColons(s) {
		if host, _ := splitHost(name); !isFullHost(host) {
			continue
		}
		if r, err := parseName(t, name); err == nil {
			r.Path = dir
			return r, checkPath(t, dir)
		}
	}
	r := Reference{Transport: t}
	dir, last := cutLast(s)
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
			return Reference{}, errors.New("there are two colons after the last slash; only the tag comes after one")
		}
	}
	r.Path = dir + last
	return r, checkPath(t, r.Path)
}

// cutAtColons yields what is before and after each colon.
func cutAtColons(s string) iter.Seq2[string, string] {
	return func(yield func(before, after string) bool) {
		for i := range len(s) {
			if s[i] == ':' && !yield(s[:i], s[i+1:]) {
				return
			}
		}
	}
}

// isFullHost reports whether the host of a name cannot be taken for a directory such as v1.2.
func isFullHost(host string) bool {
	name, port, err := splitPort(host)
	last := name[strings.LastIndex(name, ".")+1:]
	return err == nil && (port != "" || name == "localhost" || last != name && strings.Trim(last, "0123456789") != "")
}

// cutLayoutDigest takes for a digest only what names one of its algorithms, because an @
// may be part of a directory's name.
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

// parseDockerArchive reads FILE[:NAME]. A name may have slashes and colons of its own, so
// it begins at the first colon.
func parseDockerArchive(s string) (Reference, error) {
	file, name, found := strings.Cut(s, ":")
	r := Reference{Transport: DockerArchive}
	if found {
		var err error
		if r, err = parseName(DockerArchive, name); err != nil {
			return Reference{}, err
		}
		if r.Digest != "" {
			return Reference{}, errors.New("the images of a Docker archive are named by tags, not by digests")
		}
	}
	r.Path = file
	return r, checkPath(DockerArchive, file)
}

func checkPath(t Transport, path string) error {
	what := "file"
	if t == Layout {
		what = "directory"
	}
	switch {
	case strings.TrimSpace(path) == "":
		return fmt.Errorf("the %s after %s: is missing", what, t)
	case path == "~" || strings.HasPrefix(path, "~/"):
		return fmt.Errorf("no shell expands the ~ after a prefix; write the path in full, %s:$HOME%s", t, path[1:])
	case t != Layout && strings.HasSuffix(path, "/"):
		return fmt.Errorf("%s is a directory, not a file", path)
	}
	return nil
}

func cutLast(path string) (dir, last string) {
	slash := strings.LastIndex(path, "/")
	return path[:slash+1], path[slash+1:]
}
