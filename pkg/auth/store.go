// Package auth reads the credentials that docker login and podman login keep, for a host or a path, and keeps those of
// regsync login where both find them.
//
// Start at [FromEnvironment], which looks where Docker and Podman look. [Chain] and [Static] put the credentials of the
// command line and the configuration before it. Login and logout are [File.Save] and [File.Remove] of the file that
// [DockerFile] names.
//
// The package guarantees that a secret prints as ***, is passed to a credential helper on its standard input only, and is
// written only to files of mode 0600.
//
// The files are not read and written by docker/cli's configfile, because it drops keys that it does not know, reads the
// process's environment, prints to stderr, and locks nothing. Its package types has the form of an entry.
package auth

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
)

// Store returns credentials.
type Store interface {
	// Credential returns the credential for a repository of a registry, or, with an empty repository, for the registry as
	// a whole; the anonymous one if the store has none. If several apply, that of the longest path is returned. It may
	// be called concurrently.
	Credential(ctx context.Context, host, repository string) (Credential, error)
}

// Chain tries the stores in turn, until one has a credential or fails.
func Chain(stores ...Store) Store { return chain(stores) }

type chain []Store

var _ Store = chain(nil)

func (c chain) Credential(ctx context.Context, host, repository string) (Credential, error) {
	for _, store := range c {
		if found, err := store.Credential(ctx, host, repository); err != nil || !found.Anonymous() {
			return found, err
		}
	}
	return Credential{}, nil
}

// Static holds the credentials of the command line or of a configuration, by "host[:port]"
// or "host/path".
func Static(credentials map[string]Credential) Store {
	s := make(static, len(credentials))
	for key, c := range credentials {
		s[placeOf(key)] = c
	}
	return s
}

type static map[place]Credential

var _ Store = static(nil)

func (s static) Credential(_ context.Context, host, repository string) (Credential, error) {
	for p := range placesFor(host, repository) {
		if c := s[p]; !c.Anonymous() {
			return c, nil
		}
	}
	return Credential{}, nil
}

// Files are files of credentials. They are searched in order until one has the credential or fails.
type Files []*File

var _ Store = Files(nil)

// Credential implements [Store].
func (f Files) Credential(ctx context.Context, host, repository string) (Credential, error) {
	_, c, err := f.find(ctx, host, repository)
	return c, err
}

// Holder returns the path of the file that Credential takes the credential from, or "DOCKER_AUTH_CONFIG" if that is the
// variable; empty if none knows one.
func (f Files) Holder(ctx context.Context, host, repository string) string {
	if file, c, err := f.find(ctx, host, repository); err == nil && !c.Anonymous() {
		return file.Path()
	}
	return ""
}

func (f Files) find(ctx context.Context, host, repository string) (*File, Credential, error) {
	for _, file := range f {
		if found, err := file.Credential(ctx, host, repository); err != nil || !found.Anonymous() {
			return file, found, err
		}
	}
	return nil, Credential{}, nil
}

// FromEnvironment looks where Docker and Podman look, in this order: the variable
// DOCKER_AUTH_CONFIG, docker's config.json, podman's auth.json. Pass os.Getenv.
func FromEnvironment(env func(string) string) Files { return fromEnvironment(env, nil) }

// FromEnvironmentOnce is FromEnvironment for what happens in passing, such as the completion of a command line: it runs a
// credential helper once at most, and knows no more credentials of helpers after that.
func FromEnvironmentOnce(env func(string) string) Files {
	return fromEnvironment(env, new(atomic.Bool))
}

func fromEnvironment(env func(string) string, asked *atomic.Bool) Files {
	var files Files
	if value := env("DOCKER_AUTH_CONFIG"); value != "" {
		files = append(files, newFile("DOCKER_AUTH_CONFIG", func() (*document, error) {
			return parseDocument("DOCKER_AUTH_CONFIG", []byte(value))
		}))
	}
	if docker, err := DockerFile(env); err == nil {
		files = append(files, docker)
	}
	for _, path := range podmanFiles(env) {
		files = append(files, NewFile(path))
	}
	for _, file := range files {
		file.asked = asked
	}
	return files
}

// DockerFile is docker's config.json, in $DOCKER_CONFIG or in .docker of the home directory. It need not exist. It is an error
// if neither directory is known.
func DockerFile(env func(string) string) (*File, error) {
	if dir := env("DOCKER_CONFIG"); dir != "" {
		return NewFile(filepath.Join(dir, "config.json")), nil
	}
	if home := homeDir(env); home != "" {
		return NewFile(filepath.Join(home, ".docker", "config.json")), nil
	}
	return nil, errors.New("find docker's config.json: neither DOCKER_CONFIG nor HOME is set")
}

// podmanFiles are the files that podman reads (containers-auth.json(5)): only that of REGISTRY_AUTH_FILE, if it is set.
func podmanFiles(env func(string) string) []string {
	if file := env("REGISTRY_AUTH_FILE"); file != "" {
		return []string{file}
	}
	runtime := filepath.Join("/run/containers", strconv.Itoa(os.Getuid()))
	if dir := env("XDG_RUNTIME_DIR"); dir != "" {
		runtime = filepath.Join(dir, "containers")
	}
	files := []string{filepath.Join(runtime, "auth.json")}
	config := env("XDG_CONFIG_HOME")
	if home := homeDir(env); config == "" && home != "" {
		config = filepath.Join(home, ".config")
	}
	if config != "" {
		files = append(files, filepath.Join(config, "containers", "auth.json"))
	}
	return files
}

func homeDir(env func(string) string) string {
	return cmp.Or(env("HOME"), env("USERPROFILE")) // the latter on Windows
}
