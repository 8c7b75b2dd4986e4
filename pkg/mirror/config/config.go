// Package config reads the configuration of a mirror: which images go where, and how the
// registries are reached.
//
// Start at [Load]. It is strict: a file with mistakes gives no configuration, but an [Errors]
// with every mistake of every file, each with file, line, column, the line itself and a
// caret. Unknown keys, keys that come twice, values of the wrong type, null and a second
// document are mistakes.
//
// What Load returns is complete: variables are replaced, defaults are applied, relative paths
// are absolute, references and patterns are parsed. Secrets are held as [auth.Secret], and no
// error shows one.
//
// Combinations are a mistake only if the files alone make that certain: two images for one
// tag, circles, rules that select no tag or have no effect. The rest depends on what the
// registries hold.
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

// Config is what one or more files say together.
type Config struct {
	Registries []Registry
	// Entries are in the order of the files.
	Entries []Entry
	// Warnings are for people: what is unwise but works.
	Warnings []string
}

// Only is the configuration in which only entries are wanted whose name is among names. The second result lists the names
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

// Registry is how a registry is reached, or, with a Path, only whose credentials hold
// below that path.
type Registry struct {
	// Host is the registry's name in references: "docker.io", "harbor.corp:5443".
	Host string
	// Path is the first components of the repositories that the credentials are for.
	Path     string
	Username string
	Password auth.Secret
	TLS      TLS
	// CA, Cert and Key are paths of PEM files: the authorities that are trusted besides
	// the system's, and the client's certificate. Cert and Key come together.
	CA, Cert, Key string
	// Proxy is a URL (http, https, socks5), or "direct" for none; empty takes the
	// environment's. It may hold a password.
	Proxy auth.Secret
	// Mirrors are URLs that are tried first when images are read.
	Mirrors []string
	// MaxConnections bounds the requests in flight; zero leaves that to regsync.
	MaxConnections int
	// RequestsPerSecond bounds the requests, and Bandwidth the bytes of both directions; zero means no bound.
	RequestsPerSecond int
	Bandwidth         limit.Timetable
	// PullReserve is how many pulls of the account are left for other clients, where the registry counts pulls.
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

// TLS is how a registry's certificate is treated. Empty, where nothing is written, is
// TLSEnabled, except that plain HTTP is also tried for a registry on a loopback address.
type TLS string

// The values of `tls`.
const (
	TLSEnabled  TLS = "enabled"
	TLSDisabled TLS = "disabled" // plain http
	TLSInsecure TLS = "insecure" // any certificate
)

// Entry is one element of `sync`: images from some repositories, to some places.
type Entry struct {
	// Unwanted: the images of the entry are not copied. It is still known which tags the entry would write, because an
	// entry after it must not write them.
	Unwanted bool
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
	// IgnoreMissingPlatforms gives no warning of a platform that the source lacks.
	IgnoreMissingPlatforms bool
	// RequireSource makes a named tag or digest that is gone at the source a failure also where the destination has it.
	RequireSource bool
	// Attestations says what happens to the attestations that BuildKit puts into indexes.
	Attestations transfer.Attestations
	Referrers    Referrers
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

	src    *document.Source
	nameAt *yaml.Node // nil where the file gives no name
	doubt  doubt
}

// Referrers says which signatures, SBOMs and attestations go along.
type Referrers struct {
	// Bring takes them along.
	Bring bool
	// OnCopy does so only when the image itself is copied: what is attached to an unchanged
	// one is not looked for.
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
	Glob string
	// Exclude are globs of repositories, or their names, that Glob does not select.
	Exclude  []string
	Position Position

	src *document.Source
}

// String is the source as people write it: "nginx:1.29", "harbor.corp/team/*".
func (s Source) String() string {
	if s.Glob != "" {
		return s.Reference.Registry + "/" + s.Glob
	}
	return s.Reference.Familiar()
}

// IsRepository reports whether the tags have to be selected.
func (s Source) IsRepository() bool {
	return s.Reference.Tag == "" && s.Reference.Digest == ""
}

// Matches reports whether the source is a pattern that selects a repository of its registry,
// given by its whole path.
func (s Source) Matches(repository string) bool {
	return glob.Match(s.Glob, repository) &&
		!slices.ContainsFunc(s.Exclude, func(out string) bool { return glob.Match(out, repository) })
}

// Sample is the source, or for a pattern of repositories one that it would find: its open
// parts are a made-up name.
func (s Source) Sample() reference.Reference { return s.filled(conflict.Wild) }

// filled is the source with a name for each open part of its pattern.
func (s Source) filled(name string) reference.Reference {
	ref := s.Reference
	if s.Glob != "" {
		ref.Repository = glob.Replace(s.Glob, name)
	}
	return ref
}
