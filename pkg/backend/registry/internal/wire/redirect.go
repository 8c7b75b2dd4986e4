package wire

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

const maxRedirects = 8

// redirect follows redirects as far as [answer.Follow] and allow permit. It sends Authorization, and a body that has
// secrets, only to the host that they are meant for.
type redirect struct {
	next  roundTrip
	allow func(*url.URL) error // also checks each URL
}

func (r *redirect) send(req *Request) (*http.Response, error) {
	for range maxRedirects {
		if err := r.allow(req.URL); err != nil {
			req.Drop()
			return nil, err
		}
		resp, err := r.next(req)
		if err != nil {
			return nil, err
		}
		onward, err := redirected(req, resp)
		if err != nil {
			answer.Discard(resp)
			return nil, err
		}
		if onward == nil {
			return resp, nil
		}
		answer.Discard(resp)
		req = onward
	}
	req.Drop()
	return nil, fmt.Errorf("%s: %w: more than %d redirects", req.URL.Host, content.ErrInvalid, maxRedirects-1)
}

// redirected returns the request that follows a redirect of req, or nil if there is none to follow.
func redirected(req *Request, resp *http.Response) (*Request, error) {
	read := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch resp.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if !read {
			return nil, nil
		}
	default:
		return nil, nil
	}
	to, err := answer.FollowAnswer(resp, resp.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	same := SameEndpoint(to, resp.Request.URL)
	if len(req.Secrets) > 0 && !same && !upgrades(resp.Request.URL, to) {
		return nil, answer.Scrub(resp.Request, fmt.Errorf("%s redirects a request with a password or an identity token to %s: %w",
			resp.Request.URL.Host, to.Host, content.ErrInvalid))
	}
	again, ok := req.Rewind()
	if !ok {
		return nil, nil
	}
	onward := again.Clone(req.Context())
	onward.URL, onward.Host = to, ""
	if !same {
		onward.Header.Del("Authorization")
	}
	return &Request{Request: onward, Traits: req.Traits}, nil
}

// upgrades reports whether a redirect leads from http to https on the same host, both on their default ports.
func upgrades(from, to *url.URL) bool {
	name := strings.ToLower(to.Hostname())
	return from.Scheme == "http" && endpoint(from) == net.JoinHostPort(name, "80") &&
		to.Scheme == "https" && endpoint(to) == net.JoinHostPort(name, "443")
}

// apiAddress returns the host that serves the API of a registry.
func apiAddress(name string) string {
	if name == reference.DockerHub {
		return "registry-1.docker.io"
	}
	return name
}

// Registry returns one name for all hosts of a registry: mounts, limits and knowledge apply to the registry, not to
// a host.
func Registry(host string) string {
	host = strings.TrimSuffix(reference.CanonicalHost(host), ":443")
	if strings.HasSuffix(host, ".aliyuncs.com") {
		return publicACR(host)
	}
	return host
}

// publicACR turns the VPC and internal hosts of an Aliyun registry into its public one:
// registry-vpc.REGION.aliyuncs.com, crpi-ID-vpc.REGION.personal.cr.aliyuncs.com,
// NAME-registry-vpc.REGION.cr.aliyuncs.com.
func publicACR(host string) string {
	first, domain, _ := strings.Cut(host, ".")
	first = strings.TrimSuffix(strings.TrimSuffix(first, "-vpc"), "-internal")
	personal := strings.HasPrefix(first, "crpi-") && strings.HasSuffix(domain, ".personal.cr.aliyuncs.com")
	enterprise := strings.HasSuffix(first, "-registry") && strings.HasSuffix(domain, ".cr.aliyuncs.com")
	if first == "registry" || personal || enterprise {
		return first + "." + domain
	}
	return host
}
