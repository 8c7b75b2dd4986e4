package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// WantTags wants a registry to have every tag of a storage, with the same digest; those that
// except names may have another one; nil names none. It returns how many are right.
func (s *Storage) WantTags(t testing.TB, host string, except func(tag string) bool) int {
	t.Helper()
	right := 0
	for _, r := range s.Repositories {
		for _, tag := range slices.Sorted(maps.Keys(r.Tags)) {
			got := Digest(t, host+"/"+r.Name+":"+tag)
			if got != r.Tags[tag].String() && (except == nil || !except(tag)) || got == "" {
				t.Errorf("%s:%s is %q, want %s", r.Name, tag, got, r.Tags[tag])
				continue
			}
			right++
		}
	}
	return right
}

// WantComplete wants each tag that a registry has to be complete, and returns how many there are.
func (s *Storage) WantComplete(t testing.TB, host string) int {
	t.Helper()
	tags := 0
	for _, r := range s.Repositories {
		tags += WantComplete(t, host, r.Name)
	}
	return tags
}

// WantComplete wants the manifest and the blobs of each tag of a repository, with their digests.
func WantComplete(t testing.TB, host, repository string) int {
	t.Helper()
	base := "http://" + host + "/v2/" + repository
	var listed struct {
		Tags []string `json:"tags"`
	}
	if status, text := get(t, base+"/tags/list"); status == http.StatusNotFound {
		return 0
	} else if err := json.Unmarshal(text, &listed); err != nil {
		t.Fatalf("%s: %d %v", base, status, err)
	}
	tags, seen := 0, map[v1.Hash]bool{}
	for _, tag := range listed.Tags {
		status, text := get(t, base+"/manifests/"+tag)
		if status == http.StatusNotFound { // distribution lists a tag before it has written it
			continue
		}
		tags++
		var manifest v1.Manifest
		if err := json.Unmarshal(text, &manifest); status != http.StatusOK || err != nil {
			t.Errorf("%s:%s: %d %v", base, tag, status, err)
			continue
		}
		for _, blob := range append(manifest.Layers, manifest.Config) {
			if seen[blob.Digest] {
				continue
			}
			seen[blob.Digest] = true
			status, text := get(t, base+"/blobs/"+blob.Digest.String())
			if sum := sha256.Sum256(text); status != http.StatusOK || hex.EncodeToString(sum[:]) != blob.Digest.Hex {
				t.Errorf("%s:%s lacks %s: %d, sha256 %x", base, tag, blob.Digest, status, sum)
			}
		}
	}
	return tags
}

func get(t testing.TB, url string) (status int, text []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text
}

// Wrong counts the blobs on a registry's disk that do not have their digest.
func (r *Registry) Wrong(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.Dir, "docker/registry/v2/blobs/sha256/*/*/data"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no blobs in %s: %v", r.Dir, err)
	}
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); !strings.HasSuffix(filepath.Dir(file), hex.EncodeToString(sum[:])) {
			count++
		}
	}
	return count
}
