package registry

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"

	"github.com/regsync/regsync/pkg/content"
)

// NotRegistryError is a host that answered with success, but not as a registry does: often
// the web page that a server shows for every address. It is a [content.ErrInvalid].
type NotRegistryError struct {
	// Host is the one that answered, URL what it was asked, without the values that may be
	// secret.
	Host, URL string
	// MediaType is that of the answer; empty if it did not say.
	MediaType string
}

func (e *NotRegistryError) Error() string {
	if e.MediaType == "" {
		return e.Host + " does not answer like a registry: " + e.URL
	}
	return e.Host + " does not answer like a registry: " + e.URL + " is " + e.MediaType
}

// Unwrap makes it an answer that is invalid.
func (e *NotRegistryError) Unwrap() error { return content.ErrInvalid }

func notRegistry(resp *http.Response) error {
	from := resp.Request.URL
	return &NotRegistryError{Host: from.Host, URL: redact(from), MediaType: mediaTypeOf(resp)}
}

func isWebPage(resp *http.Response) bool {
	mediaType := mediaTypeOf(resp)
	return mediaType == "text/html" || mediaType == "application/xhtml+xml"
}

// noWebPage refuses a web page where a document of the API should be.
func noWebPage(resp *http.Response) error {
	if isWebPage(resp) {
		return notRegistry(resp)
	}
	return nil
}

// aManifest refuses what neither says that it is a manifest nor looks like one.
func aManifest(resp *http.Response, raw []byte) error {
	if content.IsManifest(mediaTypeOf(resp)) || content.LooksLikeManifest(raw) {
		return nil
	}
	return notRegistry(resp)
}

// aBase refuses an answer for /v2/ that is not a registry's: one with the header of
// distribution, with JSON, or with nothing. Quay calls its own text/html.
func aBase(resp *http.Response) error {
	if resp.Header.Get("Docker-Distribution-Api-Version") != "" {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxWords))
	if err != nil {
		return err
	}
	if json.Valid(raw) || len(raw) == 0 && !isWebPage(resp) {
		return nil
	}
	return notRegistry(resp)
}

// mediaTypeOf is the media type of an answer without its parameters; empty if there is none.
func mediaTypeOf(resp *http.Response) string {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // with wrong parameters it is still one
	return mediaType
}
