package registrytest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// dialect makes olareg answer as distribution does; see the package comment.
type dialect struct {
	olareg   http.Handler
	settings settings

	putting sync.Mutex // olareg loses one of two referrers that come at once
	mu      sync.Mutex
	// tagged are the repositories that ever had a tag.
	tagged map[string]bool
	// opened has the paths of all upload sessions, and referenced the blobs that manifests refer to, by repository.
	opened     []string
	referenced map[string]map[digest.Digest]bool
	// disguised are the media types of manifests that olareg takes for an index.
	disguised map[digest.Digest]string
}

func newDialect(olareg http.Handler, settings settings) *dialect {
	return &dialect{
		olareg: olareg, settings: settings,
		tagged: map[string]bool{}, disguised: map[digest.Digest]string{}, referenced: map[string]map[digest.Digest]bool{},
	}
}

func (d *dialect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	at := parseRoute(r.URL.Path)
	switch {
	case at.kind == kindUpload:
		d.upload(w, r, at)
	case at.kind == kindManifest && r.Method == http.MethodPut:
		d.putManifest(w, r, at)
	case at.kind == kindManifest && !writes(r):
		d.readManifest(w, r)
	case at.kind == kindTags:
		d.tags(w, r, at)
	case at.kind == kindReferrer && !d.settings.has(ReferrersAPI):
		http.NotFound(w, r)
	case r.URL.Path == "/v2/_catalog":
		d.catalog(w, r)
	case at.kind == kindBlob && !writes(r):
		d.olareg.ServeHTTP(w, r) // directly, because it may be large
	default:
		replay(w, d.ask(r))
	}
}

// ask lets olareg answer into memory.
func (d *dialect) ask(r *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	d.olareg.ServeHTTP(recorder, r)
	if recorder.Code >= http.StatusBadRequest {
		recorder.Header().Set("Content-Type", "application/json")
	}
	return recorder
}

func (d *dialect) upload(w http.ResponseWriter, r *http.Request, at route) {
	if at.name == "" {
		r = withoutQuery(r, "digest")
		query := r.URL.Query()
		if query.Get("from") == "" || digest.Digest(query.Get("mount")).Validate() != nil {
			r = withoutQuery(r, "mount")
		}
		if mounted := digest.Digest(query.Get("mount")); isOther(mounted) && d.has(r, query.Get("from"), mounted) {
			w.Header().Set("Docker-Content-Digest", mounted.String())
			w.Header().Set("Location", blobPath(at.repo, mounted))
			w.WriteHeader(http.StatusCreated)
			return
		}
	} else if !d.checkSession(w, r) {
		return
	}
	answer := d.ask(r)
	header := answer.Header()
	if answer.Code == http.StatusBadRequest && strings.Contains(answer.Body.String(), "invalid digest, expected") {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
		return
	}
	switch {
	case answer.Code == http.StatusRequestedRangeNotSatisfiable:
		refuse(w, answer.Code, "RANGE_INVALID", "invalid content range")
		return
	case answer.Code == http.StatusCreated:
		header.Set("Docker-Content-Digest", d.stored(r, at.repo).String())
	case answer.Code < http.StatusBadRequest && r.Method == http.MethodDelete:
		answer.Code = http.StatusNoContent
	case answer.Code < http.StatusBadRequest:
		header.Set("Docker-Upload-UUID", path.Base(strings.Split(header.Get("Location"), "?")[0]))
		if at.name == "" || header.Get("Range") == "0--1" {
			header.Set("Range", "0-0")
		}
		d.noteSession(at, header.Get("Location"))
	}
	replay(w, answer)
}

// noteSession records a session that was opened.
func (d *dialect) noteSession(at route, location string) {
	if at.name != "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = append(d.opened, strings.Split(location, "?")[0])
}

// isOther reports whether a digest is valid and no sha256.
func isOther(of digest.Digest) bool {
	return of.Validate() == nil && of.Algorithm() != digest.Canonical
}

// stored is how the answer to a commit, or a mount, names the blob.
func (d *dialect) stored(r *http.Request, repo string) digest.Digest {
	of := digest.Digest(r.URL.Query().Get("digest") + r.URL.Query().Get("mount"))
	if !isOther(of) {
		return of
	}
	get := r.Clone(r.Context())
	get.Method, get.Body, get.URL = http.MethodGet, http.NoBody, &url.URL{Path: blobPath(repo, of)}
	return digest.FromBytes(d.ask(get).Body.Bytes())
}

// checkSession refuses sessions that are not there, and an old Location.
func (d *dialect) checkSession(w http.ResponseWriter, r *http.Request) bool {
	get := r.Clone(r.Context())
	get.Method, get.Body = http.MethodGet, http.NoBody
	answer := d.ask(get)
	if answer.Code != http.StatusNoContent {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
		return false
	}
	if !writes(r) {
		return true
	}
	newest, err := url.Parse(answer.Header().Get("Location"))
	if err != nil || offsetOf(newest.Query()) != offsetOf(r.URL.Query()) {
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "upload resumed at wrong offset")
		return false
	}
	return true
}

// offsetOf reads the offset in the state of a Location; -1 where there is none.
func offsetOf(query url.Values) int64 {
	raw, err := base64.RawURLEncoding.DecodeString(query.Get("state"))
	state := struct{ Offset int64 }{-1}
	if err != nil || json.Unmarshal(raw, &state) != nil {
		return -1
	}
	return state.Offset
}

// configOf is the media type of a manifest's config; empty without one.
func configOf(raw []byte) string {
	var manifest struct{ Config content.Descriptor }
	_ = json.Unmarshal(raw, &manifest) // an invalid manifest is refused later
	return manifest.Config.MediaType
}

func (d *dialect) putManifest(w http.ResponseWriter, r *http.Request, at route) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", err.Error())
		return
	}
	if config := configOf(raw); d.settings.has(ImagesOnly) && config != "" && config != ocispec.MediaTypeImageConfig && config != content.MediaTypeDockerConfig {
		refuse(w, http.StatusForbidden, "DENIED", "unknown manifest class for "+config)
		return
	}
	r = r.Clone(r.Context())
	mediaType := r.Header.Get("Content-Type")
	if needed, foreign := besidesForeign(mediaType, raw); foreign || mediaType == content.MediaTypeArtifactManifest {
		if foreign && d.settings.has(NoLayerURLs) {
			refuse(w, http.StatusInternalServerError, "UNKNOWN", "invalid URL on layer")
			return
		}
		for _, blob := range needed {
			if !d.has(r, at.repo, blob.Digest) {
				refuse(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry: "+blob.Digest.String())
				return
			}
		}
		// An index without children is all that olareg takes without looking into it.
		r.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		d.mu.Lock()
		d.disguised[digest.FromBytes(raw)] = mediaType
		d.mu.Unlock()
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	d.putting.Lock()
	answer := d.ask(r)
	d.putting.Unlock()
	if answer.Code == http.StatusCreated {
		d.noteManifest(at, mediaType, raw)
	}
	replay(w, answer)
}

// noteManifest records what a manifest that was put means for its repository.
func (d *dialect) noteManifest(at route, mediaType string, raw []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if digest.Digest(at.name).Validate() != nil {
		d.tagged[at.repo] = true
	}
	image, err := content.ParseManifest(content.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw)}, raw)
	if err != nil {
		return // olareg accepts more than this registry does
	}
	if d.referenced[at.repo] == nil {
		d.referenced[at.repo] = map[digest.Digest]bool{}
	}
	for _, blob := range image.Blobs() {
		d.referenced[at.repo][blob.Digest] = true
	}
}

// besidesForeign are the blobs of an image that a registry must have, if others may be
// missing there: foreign layers with URLs.
func besidesForeign(mediaType string, raw []byte) (needed []content.Descriptor, foreign bool) {
	image, err := content.ParseManifest(content.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw)}, raw)
	if err != nil {
		return nil, false
	}
	for _, blob := range image.Blobs() {
		if content.IsForeign(blob) && len(blob.URLs) > 0 {
			foreign = true
		} else {
			needed = append(needed, blob)
		}
	}
	return needed, foreign
}

func (d *dialect) has(r *http.Request, repo string, blob digest.Digest) bool {
	head := r.Clone(r.Context())
	head.Method, head.Body, head.URL = http.MethodHead, http.NoBody, &url.URL{Path: blobPath(repo, blob)}
	return d.ask(head).Code == http.StatusOK
}

func (d *dialect) readManifest(w http.ResponseWriter, r *http.Request) {
	accepted := strings.Join(r.Header.Values("Accept"), ",")
	r = r.Clone(r.Context())
	r.Header["Accept"] = content.ManifestMediaTypes()
	answer := d.ask(r)
	d.mu.Lock()
	mediaType := d.disguised[digest.Digest(answer.Header().Get("Docker-Content-Digest"))]
	d.mu.Unlock()
	if mediaType != "" {
		answer.Header().Set("Content-Type", mediaType)
	}
	const oci = "application/vnd.oci.image.manifest.v1+json"
	if answer.Header().Get("Content-Type") == oci && !strings.Contains(accepted, oci) {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "OCI manifest found, but accept header does not support OCI manifests")
		return
	}
	replay(w, answer)
}

func (d *dialect) tags(w http.ResponseWriter, r *http.Request, at route) {
	d.mu.Lock()
	known := d.tagged[at.repo]
	d.mu.Unlock()
	if !known {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	r = r.Clone(r.Context())
	query := r.URL.Query()
	if n, err := strconv.ParseInt(query.Get("n"), 10, 64); d.settings.has(TagPages) && (err != nil || d.settings.over(TagPages, n)) {
		query.Set("n", strconv.FormatInt(d.settings.quirks[TagPages], 10))
		r.URL.RawQuery = query.Encode()
	}
	answer := d.ask(r)
	if link := answer.Header().Get("Link"); link != "" {
		answer.Header().Set("Link", strings.Replace(link, "rel=next", `rel="next"`, 1))
	}
	replay(w, answer)
}

// catalog lists the repositories that ever had a tag (distribution's HTTP API V2,
// "Listing Repositories").
func (d *dialect) catalog(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	names := slices.Sorted(maps.Keys(d.tagged))
	d.mu.Unlock()
	last := r.URL.Query().Get("last")
	names = slices.DeleteFunc(names, func(name string) bool { return last != "" && name <= last })
	if n, err := strconv.Atoi(r.URL.Query().Get("n")); err == nil && n > 0 && n <= len(names) {
		names = names[:n]
		next := url.Values{"n": {strconv.Itoa(n)}, "last": {names[n-1]}}
		w.Header().Set("Link", fmt.Sprintf(`</v2/_catalog?%s>; rel="next"`, next.Encode()))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string][]string{"repositories": names})
}
