package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	registryauth "github.com/regsync/regsync/pkg/backend/registry/internal/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// pageSize is a size that registries commonly allow. A page may have fewer elements, or all of them.
const pageSize = "1000"

// lists are the abilities of a repository that list something.
type lists struct{ caller *caller }

// Tags implements [content.TagLister].
func (l lists) Tags(ctx context.Context) iter.Seq2[string, error] {
	type page struct {
		Tags []string `json:"tags"`
	}
	c := call{method: http.MethodGet, url: l.caller.url("tags/list", url.Values{"n": {pageSize}}), traits: l.caller.small(), access: l.caller.reading()}
	listed := namesOf(l.caller, "tags", pages[page](ctx, l.caller, c, maxPage, answer.CheckDocument), func(p *page) []string { return p.Tags })
	return content.ValidNames("tag", reference.CheckTag, listed)
}

// maxPage bounds one page of a listing, in bytes: some registries send everything on one page.
const maxPage = 64 << 20

// namesOf yields the names on the pages of a listing, valid or not, up to limits.names.
func namesOf[P any](from *caller, what string, pages iter.Seq2[P, error], names func(P) []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		bound, listed := from.host.client.limits.names, 0
		for page, err := range pages {
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names(page) {
				if listed++; listed > bound {
					yield("", from.tooMany(bound, what))
					return
				}
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}

// pages yields the pages of a listing, each read into a new T, up to limits.pages. Empty pages count. It follows
// Link unchanged: quay's is opaque.
func pages[T any](ctx context.Context, from *caller, c call, limit int64, check func(*http.Response) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		seen := map[string]bool{}
		bound, read := from.host.client.limits.pages, 0
		for next := c.url; next != nil; {
			c.url, next = next, nil
			seen[c.url.String()] = true
			page := new(T)
			err := from.ask(ctx, c, func(resp *http.Response) error {
				if err := check(resp); err != nil {
					return err
				}
				var err error
				if next, err = answer.NextPage(resp); err != nil {
					return err
				}
				return answer.ReadJSON(resp, limit, page)
			})
			if isPageSize(err) && c.url.Query().Has("n") {
				next = withoutSize(c.url)
				continue
			}
			if err == nil && next != nil && seen[next.String()] {
				err = fmt.Errorf("%s: %w: the pages form a loop", answer.Redact(c.url), content.ErrInvalid)
			}
			if read++; err == nil && next != nil && read >= bound {
				err = from.tooMany(bound, "pages")
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}

// isPageSize reports whether a registry refuses the requested page size: distribution answers 400 to sizes above its
// catalog.maxentries.
func isPageSize(err error) bool {
	refused, ok := errors.AsType[*answer.Error](err)
	return ok && refused.Code == "PAGINATION_NUMBER_INVALID"
}

// withoutSize returns the URL of the same page with the registry's default size.
func withoutSize(u *url.URL) *url.URL {
	query := u.Query()
	query.Del("n")
	without := *u
	without.RawQuery = query.Encode()
	return &without
}

// Repositories yields the names of a registry's repositories, at least those with the prefix under ("team/"; empty
// means all), and ends after the first error. Many registries have no listing: the error is
// [content.ErrUnsupported], or a refusal. Docker Hub has none either, but its API lists the repositories of a
// namespace. A [content.InvalidNamesError] follows all valid names.
func (c *Client) Repositories(ctx context.Context, host, under string) iter.Seq2[string, error] {
	type page struct {
		Repositories []string `json:"repositories"`
	}
	failed := func(err error) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	h, err := c.host(host)
	if err != nil {
		return failed(err)
	}
	if namespace, _, named := strings.Cut(under, "/"); named && h.wire.Registry() == reference.DockerHub {
		api, err := h.hub()
		if err != nil {
			return failed(err)
		}
		return api.Repositories(ctx, namespace)
	}
	from := &caller{host: h}
	first := call{
		method: http.MethodGet, url: h.wire.URL("/v2/_catalog", url.Values{"n": {pageSize}}),
		traits: from.small(), access: registryauth.Access{Need: registryauth.Catalog()},
	}
	listed := namesOf(from, "repositories", pages[page](ctx, from, first, maxPage, answer.CheckDocument),
		func(p *page) []string { return p.Repositories })
	return func(yield func(string, error) bool) {
		for name, err := range content.ValidNames("repository name", reference.CheckRepository, listed) {
			if _, failure := content.SplitInvalidNames(err); failure != nil {
				err = noCatalog(h, failure)
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

func noCatalog(h *host, err error) error {
	if errors.Is(err, content.ErrNotFound) {
		return fmt.Errorf("list the repositories of %s: %w: %w", h.wire.Name(), content.ErrUnsupported, err)
	}
	return fmt.Errorf("list the repositories of %s: %w", h.wire.Name(), err)
}

// Pushed implements [content.PushTimer] for public repositories of Docker Hub. It sends one request for every
// hundred tags, which does not count as a pull. No other registry has push times.
func (l lists) Pushed(ctx context.Context) (map[string]time.Time, error) {
	h := l.caller.host
	if h.wire.Registry() != reference.DockerHub {
		return nil, fmt.Errorf("%s does not state when a tag was pushed: %w", h.wire.Name(), content.ErrUnsupported)
	}
	api, err := h.hub()
	if err != nil {
		return nil, err
	}
	return api.Pushed(ctx, l.caller.name)
}
