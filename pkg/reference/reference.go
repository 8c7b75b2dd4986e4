// Package reference reads what users type: a transport, a registry, a repository, a tag, a
// digest, with Docker's abbreviations.
package reference

import (
	"github.com/opencontainers/go-digest"
)

// Transport is what kind of place a reference names.
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

// Reference names an image, or a repository where tag and digest are empty. It is
// comparable.
type Reference struct {
	Transport Transport
	// Registry is the host, "docker.io" or "harbor.corp:5443"; set where the transport
	// names images as Docker does (Registry, Store, DockerDaemon).
	Registry string
	// Repository is the path at the registry, "library/nginx".
	Repository string
	// Path is the directory or file of the other transports.
	Path   string
	Tag    string
	Digest digest.Digest
}

// Parse reads a reference to an image. Docker-like names get the tag "latest" if they have
// neither tag nor digest; others keep it empty.
func Parse(s string) (Reference, error) { panic("unwritten") }

// ParseRepository reads a reference to a repository; a tag or digest is an error.
func ParseRepository(s string) (Reference, error) { panic("unwritten") }

// String is the canonical form; Parse gives it back as an equal value.
func (r Reference) String() string { panic("unwritten") }

// Familiar is the shortest form that Docker users would type: "nginx:1.25".
func (r Reference) Familiar() string { panic("unwritten") }

// Name is the canonical form without tag and digest.
func (r Reference) Name() string { panic("unwritten") }

// FamiliarName is the shortest form without tag and digest.
func (r Reference) FamiliarName() string { panic("unwritten") }

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

// MarshalText gives the canonical form.
func (r Reference) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what Parse reads.
func (r *Reference) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err == nil {
		*r = parsed
	}
	return err
}
