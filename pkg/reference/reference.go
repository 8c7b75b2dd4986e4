// Package reference reads what users type: a transport, a registry, a repository, a tag, a digest, with Docker's
// abbreviations.
//
// Start at [Parse]. It reads what [Reference.String] and [Reference.Familiar] return as the same value. Every error is a
// [ParseError] that says what to write instead, if that is known.
package reference

import (
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Reference names an image, or a repository if tag and digest are empty. It is comparable.
type Reference struct {
	Transport Transport
	// Registry is the host in lower case, "docker.io" or "harbor.corp:5443". It is set if the transport names images as
	// Docker does (Registry, Store, DockerDaemon), and if an image of a DockerArchive, Layout or OCIArchive has its full name.
	Registry string
	// Repository is the path at the registry, "library/nginx".
	Repository string
	// Path is the directory or file of the other transports, as it was typed.
	Path   string
	Tag    string
	Digest digest.Digest
}

// IsRegistry reports whether r is at a registry, as opposed to this machine.
func (r Reference) IsRegistry() bool { return r.Transport == Registry }

// IsZero reports whether r names nothing.
func (r Reference) IsZero() bool { return r == Reference{} }

// Base is the last element of the repository, "nginx", or of the path if there is no repository.
func (r Reference) Base() string {
	if r.Repository != "" {
		return path.Base(r.Repository)
	}
	return path.Base(strings.ReplaceAll(r.Path, `\`, "/"))
}

// Identifier is what to resolve: the digest if there is one, else the tag.
func (r Reference) Identifier() string {
	if r.Digest != "" {
		return r.Digest.String()
	}
	return r.Tag
}

// WithTag is r with another tag and no digest.
func (r Reference) WithTag(tag string) Reference { r.Tag, r.Digest = tag, ""; return r }

// WithDigest is r with a digest and no tag.
func (r Reference) WithDigest(d digest.Digest) Reference { r.Tag, r.Digest = "", d; return r }

// WithoutIdentifier is the repository that r is in: r without tag and digest.
func (r Reference) WithoutIdentifier() Reference { r.Tag, r.Digest = "", ""; return r }

// WithTransport is the same Docker-like name at another place: an image in the store is pushed to the registry that its
// name has. The path is dropped.
func (r Reference) WithTransport(t Transport) Reference { r.Transport, r.Path = t, ""; return r }

// MarshalText gives the canonical form.
func (r Reference) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what [Parse] reads.
func (r *Reference) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err == nil {
		*r = parsed
	}
	return err
}

// String is the canonical form. [Parse], or for a repository [ParseRepository], reads it as an equal value.
func (r Reference) String() string { return r.identified(r.Name()) }

// Familiar is the shortest form that Docker users would type, "nginx:1.25". [Parse] reads it as an equal value, too.
func (r Reference) Familiar() string { return r.identified(r.FamiliarName()) }

// Name is the canonical form without tag and digest, "docker.io/library/nginx".
func (r Reference) Name() string { return r.prefixed(join(r.Registry, r.Repository)) }

// FamiliarName is the shortest form without tag and digest, "nginx".
func (r Reference) FamiliarName() string { return r.prefixed(r.familiarRepository()) }

func (r Reference) identified(name string) string {
	if r.Tag != "" {
		name += ":" + r.Tag
	}
	if r.Digest != "" {
		name += "@" + r.Digest.String()
	}
	return name
}

func (r Reference) prefixed(name string) string {
	switch r.Transport {
	case Registry:
		if host, _, _ := strings.Cut(name, ":"); isPrefix(host) {
			return string(Registry) + "://" + name
		}
		return name
	case "":
		return name
	case DockerDaemon, Store:
		return string(r.Transport) + ":" + name
	default:
		prefixed := string(r.Transport) + ":" + r.Path
		if name != "" {
			prefixed += ":" + name
		}
		return prefixed
	}
}

// familiarRepository is the shortest name that is read as that of r: an image at Docker Hub whose name is that of a
// transport, or looks like a host or an image ID, keeps more of its name. After a directory, the name is complete.
func (r Reference) familiarRepository() string {
	full := join(r.Registry, r.Repository)
	if r.Registry != DockerHub || r.Transport == Layout || r.Transport == OCIArchive {
		return full
	}
	for _, short := range []string{strings.TrimPrefix(r.Repository, "library/"), r.Repository} {
		if isPrefix(short) || isBareHost(short, "0") {
			continue // with a tag it may be read as a host with its port
		}
		read, err := parseName(r.Transport, short)
		if err == nil && read.Registry == r.Registry && read.Repository == r.Repository {
			return short
		}
	}
	return full
}

// Transport is the kind of place of a reference.
type Transport string

// The transports. The value is the prefix users type, without its colon.
const (
	Registry      Transport = "docker" // the default: needs no prefix; "docker://NAME" too
	Layout        Transport = "oci"
	OCIArchive    Transport = "oci-archive"
	DockerArchive Transport = "docker-archive"
	DockerDaemon  Transport = "docker-daemon"
	Store         Transport = "store"
)

// prefixes are what users may write, for messages.
const prefixes = "docker://, oci:, store:"

// cutPrefix splits off the prefix of a transport other than Registry, whose prefix ends with "://": "docker:27" is an image.
func cutPrefix(s string) (t Transport, rest string, found bool) {
	prefix, rest, found := strings.Cut(s, ":")
	if !found || !isPrefix(prefix) {
		return Registry, s, false
	}
	return Transport(prefix), rest, true
}

func isPrefix(s string) bool {
	switch Transport(s) {
	case Layout, OCIArchive, DockerArchive, DockerDaemon, Store:
		return true
	default:
		return false
	}
}
