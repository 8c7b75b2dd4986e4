package figures

import (
	"net/http"
	"strings"

	"github.com/regsync/regsync/e2e/lab"
)

// Kinds of requests.
const (
	listing     = "listings"
	imageTag    = "image tags" // HEAD or PUT by the tag of an image
	attachedTag = "attached tags"
	byDigest    = "manifests by digest" // HEAD or PUT
	pull        = "manifest reads"      // GET: what Docker Hub counts
	blobRead    = "blob reads"
	upload      = "uploads" // POST without a mount, and what follows it
	mount       = "mounts"
	otherKind   = "others"
)

// kindOf is what a request was for.
func kindOf(e lab.Exchange) string {
	path, query, _ := strings.Cut(e.Path, "?")
	at := strings.LastIndex(path, "/manifests/")
	switch {
	case strings.HasSuffix(path, "/tags/list"):
		return listing
	case at >= 0 && e.Method == http.MethodGet:
		return pull
	case at >= 0:
		return kindOfName(path[at+len("/manifests/"):])
	case e.Blob():
		return blobRead
	case e.Upload() && strings.Contains(query, "mount=") && e.Status == http.StatusCreated:
		return mount
	case e.Upload():
		return upload
	}
	return otherKind
}

func kindOfName(name string) string {
	switch {
	case strings.HasPrefix(name, "sha256:"):
		return byDigest
	case strings.HasPrefix(name, "sha256-"):
		return attachedTag
	}
	return imageTag
}

// tally counts requests by kind.
func tally(exchanges []lab.Exchange) map[string]int {
	count := map[string]int{}
	for _, e := range exchanges {
		count[kindOf(e)]++
	}
	return count
}
