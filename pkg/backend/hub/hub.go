// Package hub reads Docker Hub's API, which has data that its registry lacks: the repositories of a namespace, and
// the push times of tags. Public data needs no login, and requests do not count against the pull quota.
//
// Start at [New]. The package sends no requests itself: the registry client is its [Reader]. It guarantees that a
// listing ends, and that it returns no invalid name.
package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Site is the base URL of the API.
const Site = "https://hub.docker.com"

const pageSize = "100" // the maximum of the API

// Limits bound a listing.
type Limits struct {
	Pages int // empty ones included
	Names int // valid or not
}

// Reader reads pages.
type Reader interface {
	// ReadJSON reads the JSON document of a URL into page.
	ReadJSON(ctx context.Context, from *url.URL, page any) error
	// Follow returns the URL in link, or an error if a page at from must not lead there.
	Follow(from *url.URL, link string) (*url.URL, error)
}

// API is Docker Hub's.
type API struct {
	base   *url.URL
	reader Reader
	limits Limits
}

// New creates an API at a base URL.
func New(base string, reader Reader, limits Limits) (*API, error) {
	u, err := url.Parse(base)
	if err != nil { // its text would quote the address, which may contain a password
		return nil, fmt.Errorf("address of Docker Hub's API: %w: not a URL", content.ErrInvalid)
	}
	return &API{base: u, reader: reader, limits: limits}, nil
}

// Repositories yields the public repositories of a namespace, as "team/app", and ends after the first error. The
// error for an unknown namespace is [content.ErrNotFound]. A [content.InvalidNamesError] follows all valid names.
func (a *API) Repositories(ctx context.Context, namespace string) iter.Seq2[string, error] {
	type repository struct {
		Name string `json:"name"`
	}
	return func(yield func(string, error) bool) {
		listed := func(yield func(string, error) bool) {
			if err := checkName(namespace + "/any"); err != nil {
				yield("", err)
				return
			}
			for repository, err := range list[repository](ctx, a, "repositories", "v2", "namespaces", namespace, "repositories") {
				if !yield(namespace+"/"+repository.Name, err) {
					return
				}
			}
		}
		for name, err := range content.ValidNames("repository name", checkName, listed) {
			if _, failure := content.SplitInvalidNames(err); failure != nil {
				err = fmt.Errorf("list the repositories of docker.io/%s: %w", namespace, failure)
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

// checkName refuses names that are not NAMESPACE/NAME, as Docker Hub's are.
func checkName(name string) error {
	if reference.CheckRepository(name) != nil || strings.Count(name, "/") != 1 {
		return fmt.Errorf("%.100q: %w: not a Docker Hub repository", name, content.ErrInvalid)
	}
	return nil
}

// Pushed returns when each tag of a public repository was pushed, or zero if the API does not say. It sends one
// request for every hundred tags. The error for a repository that is not public is [content.ErrUnsupported].
func (a *API) Pushed(ctx context.Context, repository string) (map[string]time.Time, error) {
	type tag struct {
		Name       string `json:"name"`
		LastPushed string `json:"tag_last_pushed"` // null for very old tags
	}
	namespace, name, _ := strings.Cut(repository, "/")
	times := map[string]time.Time{}
	for tag, err := range list[tag](ctx, a, "tags", "v2", "namespaces", namespace, "repositories", name, "tags") {
		if errors.Is(err, content.ErrNotFound) { // also the answer for a private repository
			err = fmt.Errorf("available for public repositories only: %w: %w", content.ErrUnsupported, err)
		}
		if err != nil {
			return nil, fmt.Errorf("read push times of docker.io/%s: %w", repository, err)
		}
		if reference.CheckTag(tag.Name) == nil { // the registry's listing reports invalid tags
			times[tag.Name], _ = time.Parse(time.RFC3339, tag.LastPushed) // zero after an error
		}
	}
	return times, nil
}

// list yields the elements of all pages of a listing, and ends after the first error. what is the plural of
// the elements, for errors. Each element of path is escaped.
func list[T any](ctx context.Context, a *API, what string, path ...string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		listed, seen := 0, map[[sha256.Size]byte]bool{} // hashes, because a URL is long
		tooMany := func(bound int, what string) error {
			return fmt.Errorf("%w: more than %d %s", content.ErrInvalid, bound, what)
		}
		escaped := make([]string, len(path))
		for i, element := range path {
			escaped[i] = url.PathEscape(element)
		}
		next := a.base.JoinPath(escaped...)
		next.RawQuery = url.Values{"page_size": {pageSize}}.Encode()
		for {
			seen[sha256.Sum256([]byte(next.String()))] = true
			var page struct {
				Next    string `json:"next"`
				Results []T    `json:"results"`
			}
			if err := a.reader.ReadJSON(ctx, next, &page); err != nil {
				yield(none, err)
				return
			}
			for _, result := range page.Results {
				if listed++; listed > a.limits.Names {
					yield(none, tooMany(a.limits.Names, what))
					return
				}
				if !yield(result, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			following, err := a.reader.Follow(next, page.Next)
			if err == nil && seen[sha256.Sum256([]byte(following.String()))] {
				err = fmt.Errorf("%w: the pages form a loop", content.ErrInvalid)
			}
			if err == nil && len(seen) >= a.limits.Pages {
				err = tooMany(a.limits.Pages, "pages")
			}
			if err != nil {
				yield(none, err)
				return
			}
			next = following
		}
	}
}
