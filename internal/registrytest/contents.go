package registrytest

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"
)

// isReferenced reports whether a manifest of a repository refers to a blob.
func (d *dialect) isReferenced(repo string, blob digest.Digest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.referenced[repo][blob]
}

// holder returns a repository that has a blob and manifests, or "" if there is none.
func (d *dialect) holder(r *http.Request, blob digest.Digest) string {
	d.mu.Lock()
	var repositories []string
	for repo := range d.referenced {
		repositories = append(repositories, repo)
	}
	d.mu.Unlock()
	slices.Sort(repositories)
	for _, repo := range repositories {
		if d.has(r, repo, blob) {
			return repo
		}
	}
	return ""
}

// pointsAt returns the digest that a tag points at, or "" if there is no such tag.
func (d *dialect) pointsAt(r *http.Request, repo, tag string) digest.Digest {
	answer := d.readPath(r, http.MethodHead, manifestPath(repo, tag))
	return digest.Digest(answer.Header.Get("Docker-Content-Digest"))
}

// moveTag moves a tag to the manifest of the tag with the suffix "-next", if there is one.
func (d *dialect) moveTag(r *http.Request, at route) {
	next := d.readPath(r, http.MethodGet, manifestPath(at.repo, at.name+"-next"))
	if next.StatusCode != http.StatusOK {
		return
	}
	raw, err := io.ReadAll(next.Body)
	if err != nil {
		return // a recorder's body does not fail
	}
	put := r.Clone(r.Context())
	put.Method, put.Body, put.URL = http.MethodPut, io.NopCloser(bytes.NewReader(raw)), &url.URL{Path: manifestPath(at.repo, at.name)}
	put.Header = http.Header{"Content-Type": {next.Header.Get("Content-Type")}}
	put.ContentLength = int64(len(raw))
	answerOf(d, put)
}

// readPath reads a manifest of any type.
func (d *dialect) readPath(r *http.Request, method, path string) *http.Response {
	read := r.Clone(r.Context())
	read.Method, read.Body, read.URL = method, http.NoBody, &url.URL{Path: path}
	read.Header = http.Header{"Accept": {"application/vnd.oci.image.manifest.v1+json"}}
	return answerOf(d, read).Result()
}
