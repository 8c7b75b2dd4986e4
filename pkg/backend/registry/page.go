package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/regsync/regsync/pkg/content"
)

// maxPage bounds one page of a listing, in bytes: some registries send all at once.
const maxPage = 64 << 20

// namesOf yields the names on the pages of a listing, valid or not, up to limits.names.
func namesOf[P any](r *Repository, what string, pages iter.Seq2[P, error], names func(P) []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		bound, listed := r.host.client.limits.names, 0
		for page, err := range pages {
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names(page) {
				if listed++; listed > bound {
					yield("", r.tooMany(bound, what))
					return
				}
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}

// tooMany is the error of a listing that exceeds one of the limits.
func (r *Repository) tooMany(bound int, what string) error {
	return fmt.Errorf("%s: %w: more than %d %s", r.Location(), content.ErrInvalid, bound, what)
}

// pages yields the pages of a listing, each read into a new T, following Link as it is
// given (quay's is opaque), up to limits.pages. Empty pages count.
func pages[T any](ctx context.Context, r *Repository, c call, limit int64, check func(*http.Response) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		seen := map[string]bool{}
		bound, read := r.host.client.limits.pages, 0
		for next := c.url; next != nil; {
			c.url, next = next, nil
			seen[c.url.String()] = true
			page := new(T)
			err := r.ask(ctx, c, func(resp *http.Response) error {
				if err := check(resp); err != nil {
					return err
				}
				var err error
				if next, err = nextPage(resp); err != nil {
					return err
				}
				return readJSON(resp, limit, page)
			})
			if isPageSize(err) && c.url.Query().Has("n") {
				next = withoutSize(c.url)
				continue
			}
			if err == nil && next != nil && seen[next.String()] {
				err = fmt.Errorf("%s: %w: the pages go in a circle", redact(c.url), content.ErrInvalid)
			}
			if read++; err == nil && next != nil && read >= bound {
				err = r.tooMany(bound, "pages")
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}

// isPageSize reports whether a registry gives only smaller pages than were asked for: it then
// says 400 to what is above its catalog.maxentries, if it is distribution.
func isPageSize(err error) bool {
	refused, ok := errors.AsType[*Error](err)
	return ok && refused.Code == "PAGINATION_NUMBER_INVALID"
}

// withoutSize is the same page, in the size that the registry likes.
func withoutSize(u *url.URL) *url.URL {
	query := u.Query()
	query.Del("n")
	without := *u
	without.RawQuery = query.Encode()
	return &without
}

// nextPage is the Link of relation "next" (RFC 8288), or nil.
func nextPage(resp *http.Response) (*url.URL, error) {
	for _, header := range resp.Header.Values("Link") {
		if target := nextLink(header); target != "" {
			return follow(resp.Request.URL, target)
		}
	}
	return nil, nil
}

// nextLink finds the target of the relation "next" in a Link header. A lone target is taken
// for it: there is nothing else that a listing links to.
func nextLink(header string) string {
	for header != "" {
		_, rest, found := strings.Cut(header, "<")
		if !found {
			return ""
		}
		target, rest, found := strings.Cut(rest, ">")
		if !found {
			return ""
		}
		params := rest
		if another := strings.Index(rest, "<"); another >= 0 {
			params = rest[:another]
		}
		if rel := relation(params); rel == "" || strings.EqualFold(rel, "next") {
			return target
		}
		header = rest
	}
	return ""
}

func relation(params string) string {
	for param := range strings.FieldsFuncSeq(params, func(r rune) bool { return r == ';' || r == ',' }) {
		key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(strings.TrimSpace(key), "rel") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
