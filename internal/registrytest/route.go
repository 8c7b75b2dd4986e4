package registrytest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

// kind is what a request is about.
type kind string

const (
	kindBlob     kind = "blobs"
	kindUpload   kind = "uploads"
	kindManifest kind = "manifests"
	kindTags     kind = "tags"
	kindReferrer kind = "referrers"
)

// route is a path below /v2/: /v2/repo/kind/name.
type route struct {
	repo string
	kind kind
	name string // a digest, a tag, a session; empty to open a session
}

// parseRoute reads a path. The zero route is a path of no repository.
func parseRoute(path string) route {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	n := len(parts)
	if parts[0] != "v2" || n < 4 {
		return route{}
	}
	repo := func(end int) string { return strings.Join(parts[1:end], "/") }
	if n > 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads" {
		return route{repo(n - 3), kindUpload, parts[n-1]}
	}
	if parts[n-2] == "blobs" && parts[n-1] == "uploads" {
		return route{repo(n - 2), kindUpload, ""}
	}
	switch k := kind(parts[n-2]); k {
	case kindBlob, kindManifest, kindTags, kindReferrer:
		return route{repo(n - 2), k, parts[n-1]}
	}
	return route{}
}

// writes reports whether a request changes something.
func writes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead
}

// refuse answers as the specification says ("Error Codes").
func refuse(w http.ResponseWriter, status int, code, message string) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	raw, err := json.Marshal(map[string][]item{"errors": {{code, message}}})
	if err != nil {
		panic(err) // two strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// like matches text against a pattern in which * is any text.
func like(pattern, text string) bool {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
	return regexp.MustCompile("^" + quoted + "$").MatchString(text)
}
