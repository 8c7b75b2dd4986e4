package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config/types"

	"github.com/regsync/regsync/pkg/reference"
)

// document has the credentials of docker's config.json, podman's auth.json or DOCKER_AUTH_CONFIG.
type document struct {
	Auths       map[string]types.AuthConfig `json:"auths"`
	CredsStore  string                      `json:"credsStore"`
	CredHelpers map[string]string           `json:"credHelpers"`
}

// parseDocument reads raw, which is called name in errors. An empty text is an empty document, as it is for docker.
func parseDocument(name string, raw []byte) (*document, error) {
	d := &document{}
	if len(bytes.TrimSpace(raw)) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, syntaxError(name, raw, err)
	}
	return d, nil
}

// syntaxError says where in raw the error is. It quotes nothing: there are secrets.
func syntaxError(name string, raw []byte, err error) error {
	var offset int64
	reason := "is not JSON"
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset, reason = syntax.Offset, syntax.Error()
	} else if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = mismatch.Offset
		reason = fmt.Sprintf("%s must not be a JSON %s", mismatch.Field, mismatch.Value)
	}
	before := raw[:min(int(offset), len(raw))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return fmt.Errorf("read credentials: %s:%d:%d: %s", name, line, max(1, column), reason)
}

// entry finds the credential for exactly p. listed is also true for an empty entry, whose credential a helper keeps.
func (d *document) entry(name string, p place) (c Credential, listed bool, err error) {
	for _, key := range d.keysOf(p) {
		listed = true
		c, err := decodeEntry(d.Auths[key])
		if err != nil {
			return Credential{}, true, fmt.Errorf("read credentials for %s in %s: %w", key, name, err)
		}
		if !c.Anonymous() {
			return c, true, nil
		}
	}
	return Credential{}, listed, nil
}

// keysOf are the keys of auths that mean p, the one that docker uses first.
func (d *document) keysOf(p place) []string {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(d.Auths)), func(key string) bool { return placeOf(key) != p })
	if i := slices.Index(keys, p.key()); i > 0 {
		keys[0], keys[i] = keys[i], keys[0]
	}
	return keys
}

// helper returns the credential helper for p that file names, or nil.
func (d *document) helper(p place, file string) *helper {
	name, setting := d.CredsStore, "credsStore"
	for at := range placesFor(p.host, p.path) {
		keys := slices.Sorted(maps.Keys(d.CredHelpers))
		if i := slices.IndexFunc(keys, func(key string) bool { return placeOf(key) == at }); i >= 0 {
			name, setting = d.CredHelpers[keys[i]], "credHelpers"
			break
		}
	}
	if name == "" {
		return nil
	}
	return newHelper(name, setting+" in "+file)
}

func decodeEntry(entry types.AuthConfig) (Credential, error) {
	c := Credential{
		Username:      entry.Username,
		Password:      Secret(entry.Password),
		IdentityToken: Secret(entry.IdentityToken),
		RegistryToken: Secret(entry.RegistryToken),
	}
	if entry.Auth == "" {
		return c, nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(entry.Auth), "="))
	if err != nil {
		return Credential{}, errors.New(`"auth" is not valid base64`)
	}
	username, password, found := strings.Cut(string(raw), ":")
	if !found || username == "" {
		return Credential{}, errors.New(`"auth" does not decode to user:password`)
	}
	c.Username, c.Password = username, Secret(strings.Trim(password, "\x00"))
	return c, nil
}

func encodeEntry(c Credential) types.AuthConfig {
	entry := types.AuthConfig{
		IdentityToken: c.IdentityToken.Reveal(),
		RegistryToken: c.RegistryToken.Reveal(),
	}
	if c.Username != "" || c.Password != "" {
		entry.Auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password.Reveal()))
	}
	return entry
}

// hubKey is what docker calls Docker Hub in its files and towards credential helpers.
const hubKey = "https://index.docker.io/v1/"

// place is what a credential is for: a registry, or the repositories at and below a path.
type place struct{ host, path string }

// placeOf reads the key of a credentials file. Old versions of docker wrote URLs, whose path is only the version of the
// registry's API; podman writes host/path (containers-auth.json(5)).
func placeOf(key string) place {
	_, rest, isURL := strings.Cut(key, "://")
	if !isURL {
		rest = key
	}
	host, path, _ := strings.Cut(rest, "/")
	path = strings.Trim(path, "/")
	if isURL || path == "v1" || path == "v2" {
		path = ""
	}
	return place{reference.CanonicalHost(host), path}
}

// placesFor yields the places whose credential applies to a repository: the longest path first, the registry last.
func placesFor(host, repository string) iter.Seq[place] {
	host = reference.CanonicalHost(host)
	return func(yield func(place) bool) {
		for path := repository; path != ""; {
			if !yield(place{host, path}) {
				return
			}
			path = path[:max(0, strings.LastIndex(path, "/"))]
		}
		yield(place{host, ""})
	}
}

// key is the name of the place in the files of docker, or of podman if it has a path.
func (p place) key() string {
	switch {
	case p.path != "":
		return p.host + "/" + p.path
	case p.host == reference.DockerHub:
		return hubKey
	default:
		return p.host
	}
}

func (p place) String() string {
	if p.path == "" {
		return p.host
	}
	return p.host + "/" + p.path
}
