package config

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Config is what one or more files say together.
type Config struct {
	Registries []Registry
	// Entries are in the order of the files.
	Entries []Entry
	// Warnings are for people: what is unwise but works.
	Warnings []string
}

// Registry is how a registry is reached, or, with a Path, only whose credentials hold
// below that path.
type Registry struct {
	// Host is the registry's name in references: "docker.io", "harbor.corp:5443".
	Host string
	// Path is the first components of the repositories that the credentials are for.
	Path     string
	Username string
	Password Secret
	TLS      TLS
	// CA, Cert and Key are paths of PEM files: the authorities that are trusted besides
	// the system's, and the client's certificate. Cert and Key come together.
	CA, Cert, Key string
	// Proxy is a URL (http, https, socks5), or "direct" for none; empty takes the
	// environment's. It may hold a password.
	Proxy Secret
	// Mirrors are URLs that are asked first when images are read.
	Mirrors []string
	// MaxConnections bounds the requests in flight; zero means no bound of one's own.
	MaxConnections int
	// RequestsPerSecond bounds the requests, and Bandwidth the bytes of both directions; zero means no bound.
	RequestsPerSecond int
	Bandwidth         limit.Timetable
	// PullReserve is how many pulls of the account are left for other clients, where the registry counts pulls.
	PullReserve int
}

// Name is the key in the file: the host and, if there is one, the path.
func (r Registry) Name() string {
	if r.Path == "" {
		return r.Host
	}
	return r.Host + "/" + r.Path
}

// TLS is how a registry's certificate is treated. Empty, where nothing is written, is
// TLSEnabled, except that a registry on a loopback address may also speak plain http.
type TLS string

// The values of `tls`.
const (
	TLSEnabled  TLS = "enabled"
	TLSDisabled TLS = "disabled" // plain http
	TLSInsecure TLS = "insecure" // any certificate
)

// Entry is one element of `sync`: images from some repositories, to some places.
type Entry struct {
	// Name is the entry's name or, where it has none, what it copies from.
	Name         string
	Sources      []Source
	Destinations []Destination
	// Tags selects from the sources that are repositories; nil takes all tags.
	Tags tags.Selector
	// Platforms selects from indexes; nil takes them as they are.
	Platforms []content.Platform
	// RequirePlatforms makes a platform that the source lacks a failure, not a warning.
	RequirePlatforms bool
	// OmitAttestations leaves out the attestations that BuildKit puts into indexes.
	OmitAttestations bool
	Referrers        Referrers
	// Overwrite says what may happen to a tag that is at a destination already.
	Overwrite transfer.Overwrite
	// Immutable are the source's tags that never change once they are copied.
	Immutable []tags.Pattern
	// VerifyEvery is in how many runs each unchanged tag is checked at the destination once; zero or one: in each run.
	VerifyEvery int
	// MaxSize is the largest image that is copied, in bytes; zero sets no limit.
	MaxSize int64
	// Timeout is how long the entry may take in all; zero sets no limit.
	Timeout time.Duration
	// Position is where the entry begins.
	Position Position

	src    *source
	nameAt *yaml.Node // nil where the file gives no name
	doubt  doubt
}

// Referrers says which signatures, SBOMs and attestations go along.
type Referrers struct {
	// Bring takes them along.
	Bring bool
	// OnCopy does so only when the image itself is copied: what is attached to an unchanged
	// one is not asked for.
	OnCopy bool
	// Required moves a tag only when all of them have been found and copied.
	Required bool
	// Types are the artifact types that are meant; nil means all.
	Types []string
}

// Source is a repository, a pattern of repositories, or one image.
type Source struct {
	// Reference has neither tag nor digest where all or some tags of a repository are
	// meant.
	Reference reference.Reference
	// Glob selects repositories of the registry by their whole path ("team/*"); Reference
	// has only the registry then. Empty where one repository is named.
	Glob     string
	Position Position

	src *source
}

// String is the source as people write it: "nginx:1.29", "harbor.corp/team/*".
func (s Source) String() string {
	if s.Glob != "" {
		return s.Reference.Registry + "/" + s.Glob
	}
	return s.Reference.Familiar()
}

// sample is the source, or for a pattern of repositories one that it would find.
func (s Source) sample() reference.Reference { return s.filled(sampleName) }

// filled is the source with a name for each open part of its pattern.
func (s Source) filled(name string) reference.Reference {
	ref := s.Reference
	if s.Glob != "" {
		ref.Repository = wildcard.ReplaceAllString(s.Glob, name)
	}
	return ref
}

// IsRepository reports whether the tags have to be selected.
func (s Source) IsRepository() bool {
	return s.Reference.Tag == "" && s.Reference.Digest == ""
}

// Only is the configuration with those entries alone whose name is among names. The second
// result lists the names that no entry has.
func (c *Config) Only(names []string) (*Config, []string) {
	only, found := *c, map[string]bool{}
	only.Entries = nil
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	for _, e := range c.Entries {
		if wanted[e.Name] {
			found[e.Name] = true
			only.Entries = append(only.Entries, e)
		}
	}
	var missing []string
	for _, name := range names {
		if !found[name] {
			missing = append(missing, name)
		}
	}
	return &only, missing
}
