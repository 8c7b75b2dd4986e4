// Package config reads the configuration of a mirror: which images are copied where, and how
// registries are reached.
//
// Start at [Load]. It is strict: if a file has mistakes, Load returns no configuration but an
// [Errors] with every mistake of every file, each with file, line, column, the line itself and a
// caret. Unknown keys, repeated keys, values of the wrong type, null and a second document are
// mistakes.
//
// What Load returns is complete: variables are replaced, defaults are applied, relative paths are
// absolute, references and patterns are parsed. Secrets are of type [auth.Secret], and no error
// contains one.
//
// A combination of keys is a mistake only if the files alone show it: two images for one tag,
// cycles, rules that select no tag or have no effect. Everything else depends on the content of the
// registries.
//
// Each mapping of the file has a table of its keys (internal/decode), from which [Schema] is
// made too; texts, positions and problems are in internal/document.
package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Errors are all mistakes of all files, in the order of files and lines. It is never empty.
type Errors = document.Errors

// Problem is one mistake in one file.
type Problem = document.Problem

// Position is a place in a file. Line and Column count from 1, the column in characters.
type Position = document.Position

// Config is the combined content of one or more files.
type Config struct {
	Registries []Registry
	// Entries are in the order of the files.
	Entries []Entry
	// Warnings are for users: settings that work, but are probably not intended.
	Warnings []string
}

// Only returns the configuration with every entry Unwanted that is not in names. The second result lists the names
// that no entry has.
func (c *Config) Only(names []string) (*Config, []string) {
	only := *c
	only.Entries = slices.Clone(c.Entries)
	for i, e := range only.Entries {
		only.Entries[i].Unwanted = !slices.Contains(names, e.Name)
	}
	wanted := only.EntryNames()
	return &only, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(wanted, name) })
}

// EntryNames are the names of the wanted entries, in their order.
func (c *Config) EntryNames() []string {
	var names []string
	for _, e := range c.Entries {
		if !e.Unwanted {
			names = append(names, e.Name)
		}
	}
	return names
}

// Registry is how a registry is reached. With a Path, it has only the credentials for repositories
// below that path.
type Registry struct {
	// Host is the registry's name in references: "docker.io", "harbor.corp:5443".
	Host string
	// Path is the first components of the repositories that the credentials are for.
	Path     string
	Username string
	Password auth.Secret
	TLS      TLS
	// CA, Cert and Key are paths of PEM files: the authorities to trust in addition to the system's,
	// and the client certificate. Cert and Key are both set, or neither.
	CA, Cert, Key string
	// Proxy is a URL (http, https, socks5), or "direct" for none; if empty, the environment's is used.
	// It may contain a password.
	Proxy auth.Secret
	// Mirrors are URLs that are tried first when images are read.
	Mirrors []string
	// MaxConnections limits the requests in flight; zero means the default.
	MaxConnections int
	// RequestsPerSecond limits the requests, and Bandwidth the bytes of both directions; zero means no limit.
	RequestsPerSecond int
	Bandwidth         limit.Timetable
	// PullReserve is how many pulls of the account are left for other clients, if the registry counts pulls.
	PullReserve int
	// CredentialsAt and ProxyAt are where the file sets these, for messages; zero if it does not.
	CredentialsAt, ProxyAt Position
}

// Name is the key in the file: the host and, if there is one, the path.
func (r Registry) Name() string {
	if r.Path == "" {
		return r.Host
	}
	return r.Host + "/" + r.Path
}

// TLS says whether TLS is used, and whether the certificate is verified. The empty value, if the
// file sets none, is TLSEnabled, except that plain HTTP is also tried for a registry on a loopback
// address.
type TLS string

// The values of `tls`.
const (
	TLSEnabled  TLS = "enabled"
	TLSDisabled TLS = "disabled" // plain http
	TLSInsecure TLS = "insecure" // any certificate
)

// Entry is one element of `sync`: images to copy, and their destinations.
type Entry struct {
	// Unwanted: the images of the entry are not copied. Its tags still count, because a later entry must not write them.
	Unwanted bool
	// Name is the entry's name or, if it has none, its sources.
	Name         string
	Sources      []Source
	Destinations []Destination
	// Tags selects from the sources that are repositories; nil selects all tags.
	Tags tags.Selector
	// Platforms selects from indexes; nil copies them unchanged.
	Platforms []content.Platform
	// RequirePlatforms makes a platform that the source lacks a failure, not a warning.
	RequirePlatforms bool
	// IgnoreMissingPlatforms suppresses the warning about a platform that the source lacks.
	IgnoreMissingPlatforms bool
	// RequireSource makes a named tag or digest that no longer exists at the source a failure, even if the destination
	// has it.
	RequireSource bool
	// Attestations says whether the attestations that BuildKit adds to indexes are copied.
	Attestations transfer.Attestations
	Referrers    Referrers
	// Overwrite says whether a tag that exists at a destination may move.
	Overwrite transfer.Overwrite
	// Immutable are patterns of source tags that never change.
	Immutable []tags.Pattern
	// VerifyEvery is the number of runs in which each unchanged tag is checked once at the destination; zero or one
	// means in every run.
	VerifyEvery int
	// MaxSize is the largest image that is copied, in bytes; zero sets no limit.
	MaxSize int64
	// Timeout is how long the entry may take in all; zero sets no limit.
	Timeout time.Duration
	// Position is where the entry begins.
	Position Position

	src    *document.Source
	nameAt *yaml.Node // nil where the file gives no name
	doubt  doubt
}

// Referrers says which signatures, SBOMs and attestations are copied with an image.
type Referrers struct {
	// Bring copies them.
	Bring bool
	// OnCopy copies them only if the image itself is copied; those of an unchanged image are not
	// searched for.
	OnCopy bool
	// Required moves a tag only after all of them were found and copied.
	Required bool
	// Types are the artifact types to copy; nil means all.
	Types []string
}

// Source is a repository, a pattern of repositories, or one image.
type Source struct {
	// Reference has neither tag nor digest if the source is a repository, of which all or some tags
	// are selected.
	Reference reference.Reference
	// Glob selects repositories of the registry by their whole path ("team/*"); Reference then has
	// only the registry. It is empty if the source names one repository.
	Glob string
	// Exclude are globs of repositories, or their names, that Glob does not select.
	Exclude  []string
	Position Position

	src *document.Source
}

// String returns the source as users write it: "nginx:1.29", "harbor.corp/team/*".
func (s Source) String() string {
	if s.Glob != "" {
		return s.Reference.Registry + "/" + s.Glob
	}
	return s.Reference.Familiar()
}

// IsRepository reports whether tags must be selected.
func (s Source) IsRepository() bool {
	return s.Reference.Tag == "" && s.Reference.Digest == ""
}

// Matches reports whether the source is a pattern that selects a repository of its registry,
// given by its whole path.
func (s Source) Matches(repository string) bool {
	return glob.Match(s.Glob, repository) &&
		!slices.ContainsFunc(s.Exclude, func(out string) bool { return glob.Match(out, repository) })
}

// Sample returns the source. For a pattern, it returns a repository that matches, with a made-up
// name for each open part.
func (s Source) Sample() reference.Reference { return s.filled(conflict.Wild) }

// filled returns the source with a name for each open part of its pattern.
func (s Source) filled(name string) reference.Reference {
	ref := s.Reference
	if s.Glob != "" {
		ref.Repository = glob.Replace(s.Glob, name)
	}
	return ref
}
