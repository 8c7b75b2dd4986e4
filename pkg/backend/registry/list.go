package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	registryauth "github.com/regsync/regsync/pkg/backend/registry/internal/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// pageSize is a size that registries commonly allow. A page may have fewer elements, or all of them.
const pageSize = "1000"

// lists are the abilities of a repository that list something.
type lists struct{ caller *caller }

// Tags implements [content.TagLister].
func (l lists) Tags(ctx context.Context) iter.Seq2[string, error] {
	c := l.caller.get(l.caller.url("tags/list", url.Values{"n": {pageSize}}), l.caller.reading())
	return func(yield func(string, error) bool) { // which may be read more than once
		listed := &names{from: l.caller, what: "tags", check: reference.CheckTag}
		content.ValidNames("tag", listed.check, listed.on(pages(ctx, l.caller, c, listed.read)))(yield)
	}
}

const (
	// maxPage bounds one page of a listing, in bytes: some registries send everything on one page.
	maxPage = 32 << 20
	// maxNameBytes bounds all names of a listing. A hundred thousand tags that are commit hashes have 4 MB.
	maxNameBytes = 16 << 20
)

// names reads the names on the pages of a listing, valid or not, up to limits.names and maxNameBytes.
type names struct {
	from   *caller
	what   string // also the member of a page that has the names
	check  func(name string) error
	listed int
}

// read reads a page, up to one name above the bound.
func (n *names) read(resp *http.Response, pieces *[][]string) (err error) {
	if err = answer.CheckDocument(resp); err == nil {
		*pieces, err = answer.ReadNames(resp, maxPage, n.what, n.from.host.client.limits.names-n.listed)
	}
	return err
}

// on yields the names of pages that read has read. An invalid name, which is printed, is without secrets.
func (n *names) on(pages iter.Seq2[*[][]string, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		bound, bytes := n.from.host.client.limits.names, 0
		for page, err := range pages {
			if err != nil {
				yield("", err)
				return
			}
			for i, piece := range *page {
				(*page)[i] = nil // the listing may be long
				for _, name := range piece {
					if n.listed++; n.listed > bound {
						yield("", n.from.tooMany(bound, n.what))
						return
					}
					if bytes += len(name); bytes > maxNameBytes {
						yield("", n.from.tooMany(maxNameBytes, "bytes of "+n.what))
						return
					}
					if n.check(name) != nil {
						name = n.from.host.wire.Hide(name)
					}
					if !yield(name, nil) {
						return
					}
				}
			}
		}
	}
}

// pages yields the pages of a listing, each read into a new T, up to limits.pages. Empty pages count. It follows
// Link unchanged: quay's is opaque. Link may lead to another host once; the limiter keeps the state of each host.
func pages[T any](ctx context.Context, from *caller, c call, read func(*http.Response, *T) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		seen := map[[sha256.Size]byte]bool{} // hashes, because a URL is long
		bound, count, elsewhere := from.host.client.limits.pages, 0, false
		for next := c.url; next != nil; {
			c.url, next = next, nil
			seen[sha256.Sum256([]byte(c.url.String()))] = true
			page := new(T)
			err := from.ask(ctx, c, func(resp *http.Response) error {
				if err := read(resp, page); err != nil {
					return err
				}
				var err error
				next, err = answer.NextPage(resp)
				return err
			})
			// Distribution refuses page sizes above its catalog.maxentries.
			if answer.Code(err) == "PAGINATION_NUMBER_INVALID" && c.url.Query().Has("n") {
				next = withoutSize(c.url)
				continue
			}
			if err == nil && next != nil && seen[sha256.Sum256([]byte(next.String()))] {
				err = fmt.Errorf("%s: %w: the pages form a loop", from.host.wire.Redact(c.url), content.ErrInvalid)
			}
			if err == nil && next != nil && !wire.SameEndpoint(c.url, next) {
				if elsewhere {
					err = fmt.Errorf("%s: %w: the pages are spread over more than two hosts", from.host.wire.Redact(c.url), content.ErrInvalid)
				}
				elsewhere = true
			}
			if count++; err == nil && next != nil && count >= bound {
				err = from.tooMany(bound, "pages")
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
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
	first := from.get(h.wire.URL("/v2/_catalog", url.Values{"n": {pageSize}}), registryauth.Access{Need: registryauth.Catalog()})
	return func(yield func(string, error) bool) {
		listed := &names{from: from, what: "repositories", check: reference.CheckRepository}
		all := listed.on(pages(ctx, from, first, listed.read))
		for name, err := range content.ValidNames("repository name", listed.check, all) {
			if _, failure := content.SplitInvalidNames(err); failure != nil {
				if errors.Is(failure, content.ErrNotFound) {
					failure = fmt.Errorf("%w: %w", content.ErrUnsupported, failure)
				}
				what := "list repositories"
				if content.AnswerOf(failure).Host == "" {
					what = "list the repositories of " + h.wire.Name()
				}
				err = fmt.Errorf("%s: %w", what, failure)
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

// Pushed implements [content.PushTimer] for public repositories of Docker Hub. It sends one request for every
// hundred tags, which does not count as a pull. No other registry has push times.
func (l lists) Pushed(ctx context.Context) (map[string]time.Time, error) {
	h := l.caller.host
	if h.wire.Registry() != reference.DockerHub {
		return nil, fmt.Errorf("%s does not report push times: %w", h.wire.Name(), content.ErrUnsupported)
	}
	api, err := h.hub()
	if err != nil {
		return nil, err
	}
	return api.Pushed(ctx, l.caller.name)
}

// Referrers implements [content.ReferrersLister] by the referrers API. If a registry
// has none, the client tries again after an hour.
func (l lists) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	if err := content.CheckDescriptor(content.Descriptor{Digest: subject}); err != nil {
		return nil, err
	}
	if l.caller.host.noReferrers.holds() {
		return nil, fmt.Errorf("referrers API of %s: %w", l.caller.host.wire.Name(), content.ErrUnsupported)
	}
	list := l.caller.get(l.caller.url("referrers/"+subject.String(), nil), l.caller.reading())
	list.header = http.Header{"Accept": {ocispec.MediaTypeImageIndex}}
	var found []content.Descriptor
	size := 0
	for page, err := range pages(ctx, l.caller, list, l.readReferrers) {
		if err != nil {
			return nil, l.referrersError(err)
		}
		found = append(found, page.Manifests...)
		more, _ := content.ListSize(page.Manifests)
		if size += more; size > content.MaxManifestSize {
			return nil, fmt.Errorf("referrers of %s: %w", subject, l.caller.tooMany(content.MaxManifestSize, "bytes of referrers"))
		}
		if bound := l.caller.host.client.limits.referrers; len(found) > bound {
			return nil, fmt.Errorf("referrers of %s: %w", subject, l.caller.tooMany(bound, "referrers"))
		}
	}
	for i, d := range found {
		// What is invalid is printed.
		if content.CheckDescriptor(d) != nil {
			found[i].Digest = digest.Digest(l.caller.host.wire.Hide(d.Digest.String()))
		}
		if content.CheckMediaType(d.MediaType) != nil {
			found[i].MediaType = l.caller.host.wire.Hide(d.MediaType)
		}
	}
	return content.ValidDescriptors("referrer", found)
}

// errNoIndex is the error for an answer from a server that does not know the API.
var errNoIndex = errors.New("the response is not an index")

// referrerPages is how many pages of referrers of one registry are decoded at a time. Their size is not known before they
// are read.
const referrerPages = 2

func (l lists) readReferrers(resp *http.Response, index *ocispec.Index) error {
	if err := answer.CheckDocument(resp); err != nil {
		return err
	}
	if answer.MediaType(resp) != ocispec.MediaTypeImageIndex {
		return errNoIndex
	}
	ctx := resp.Request.Context()
	select {
	case l.caller.host.decoding <- struct{}{}:
		defer func() { <-l.caller.host.decoding }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	*index = ocispec.Index{} // an earlier attempt may have filled a part of it
	return answer.ReadJSON(resp, content.MaxManifestSize, index)
}

// referrersError tells a registry without the API from one without the repository: the
// specification wants an empty list, not a 404, for a subject that is not there.
func (l lists) referrersError(err error) error {
	_, isPage := errors.AsType[*answer.NotRegistryError](err) // a web page in front of a registry, for paths that it lacks
	lacks := answer.Status(err) != 0 && (errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrUnsupported))
	if !isPage && !lacks && !errors.Is(err, errNoIndex) {
		return err
	}
	if answer.Code(err) != "NAME_UNKNOWN" {
		l.caller.host.noReferrers.observe(factLife)
	}
	return fmt.Errorf("referrers API of %s: %w: %w", l.caller.host.wire.Name(), content.ErrUnsupported, err)
}
