package auth

import (
	"iter"
	"strings"

	"github.com/regsync/regsync/pkg/reference"
)

// hubKey is what docker calls Docker Hub in its files and towards credential helpers.
const hubKey = "https://index.docker.io/v1/"

// place is what a credential is for: a registry, or the repositories at and below a path.
type place struct{ host, path string }

// placeOf reads the key of a credentials file. Old versions of docker wrote URLs, with the
// version of the registry's API, whose path means nothing; podman writes host/path
// (containers-auth.json(5)).
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

// placesFor yields what may hold the credential for a repository, the longest path first
// and the registry as a whole last.
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

// key is how docker, or for a path podman, calls the place.
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
