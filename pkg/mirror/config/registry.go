package config

import (
	"net/url"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

func registryForm() form[Registry] {
	return form[Registry]{what: "a registry", fields: registryKeys(), later: registryLater()}
}

func registryKeys() fields[Registry] {
	return fields[Registry]{
		"username":     is(text(), func(r *Registry) *string { return &r.Username }),
		"password":     is(secret(), func(r *Registry) *Secret { return &r.Password }),
		"passwordFile": is(kind[Secret]{textSchema(), (*decoder).passwordFile}, func(r *Registry) *Secret { return &r.Password }),
		"tls":          is(choice(TLSEnabled, TLSDisabled, TLSInsecure), func(r *Registry) *TLS { return &r.TLS }),
		"ca":           is(existing(), func(r *Registry) *string { return &r.CA }),
		"cert":         is(existing(), func(r *Registry) *string { return &r.Cert }),
		"key":          is(existing(), func(r *Registry) *string { return &r.Key }),
		"proxy":        is(kind[Secret]{textSchema(), (*decoder).proxy}, func(r *Registry) *Secret { return &r.Proxy }),
		"mirrors":      is(listOf(kind[string]{textSchema(), (*decoder).mirror}), func(r *Registry) *[]string { return &r.Mirrors }),
		// Three: one for reads, one for writes, one for small requests.
		"maxConnections":    is(number(3), func(r *Registry) *int { return &r.MaxConnections }),
		"requestsPerSecond": is(number(1), func(r *Registry) *int { return &r.RequestsPerSecond }),
		"bandwidth":         is(timetable(), func(r *Registry) *limit.Timetable { return &r.Bandwidth }),
		"pullReserve":       is(number(0), func(r *Registry) *int { return &r.PullReserve }),
	}
}

func registryLater() []string { return []string{"aliyun"} }

// registryAt is a registry and where the file says it.
type registryAt struct {
	Registry
	src      *source
	Position Position
}

// registries reads the value of `registries`.
func (d *decoder) registries(n *yaml.Node) []registryAt {
	pairs, _ := d.mapping(n, "`registries`")
	var all []registryAt
	for _, p := range pairs {
		r, known := d.registryName(p)
		present, ok := decodeMapping(d, p.node, registryForm(), &r)
		if !known || !ok {
			continue
		}
		d.checkRegistry(p, r, present)
		all = append(all, registryAt{Registry: r, src: d.src, Position: d.src.at(p.name)})
	}
	return all
}

// registryName reads a key of `registries`: host[:port], or host/path.
func (d *decoder) registryName(p pair) (Registry, bool) {
	var r Registry
	if strings.Contains(p.key, "${") {
		d.suggest(p.name, "write the host itself", "%s: variables are replaced in values only, not in keys", quote.Word(p.key))
		return r, false
	}
	if _, rest, isURL := strings.Cut(p.key, "://"); isURL {
		rest = rest[strings.LastIndex(rest, "@")+1:] // what is before it is a login
		d.suggest(p.name, "write "+quote.Word(strings.TrimSuffix(rest, "/")), "a registry is named by its host, not by a URL")
		return r, false
	}
	if at := strings.LastIndex(p.key, "@"); at >= 0 {
		d.suggest(p.name, "put it under the host, as `username` and `password`", "a login is no part of a registry's name")
		return r, false
	}
	host, below, hasPath := strings.Cut(p.key, "/")
	ref, err := reference.ParseRepository(host + "/a/b")
	if err != nil || ref.Transport != reference.Registry || ref.Repository != "a/b" {
		d.suggest(p.name, "a host has a dot or a port, as `harbor.corp` or `harbor:443`", "%s is not the host of a registry", quote.Word(host))
		return r, false
	}
	r.Host, r.Path = ref.Registry, below
	if hasPath {
		ref, err := reference.ParseRepository(p.key + "/a")
		if err != nil || ref.Repository != below+"/a" {
			d.fail(p.name, "%s is not a path at a registry", quote.Word(below))
			return r, false
		}
	}
	return r, true
}

// checkRegistry finds what cannot be right together.
func (d *decoder) checkRegistry(p pair, r Registry, present pairs) {
	has := present.has
	if has("password") && has("passwordFile") {
		d.fail(present["passwordFile"].name, "`password` and `passwordFile` exclude each other")
	}
	secret := has("password") || has("passwordFile")
	switch {
	case has("username") && !secret:
		d.fail(present["username"].name, "`username` needs `password` or `passwordFile`")
	case secret && !has("username"):
		d.fail(p.name, "a password needs `username`")
	}
	if has("cert") != has("key") {
		d.fail(p.name, "`cert` and `key` need each other")
	}
	for _, key := range []string{"ca", "cert", "key"} {
		if has(key) && r.TLS == TLSDisabled {
			d.fail(present[key].name, "`%s` has no effect with `tls: disabled`", key)
		}
	}
	if r.Path == "" {
		return
	}
	for key, other := range present {
		switch key {
		case "username", "password", "passwordFile":
		default:
			d.suggest(other.name, "put it under `"+r.Host+"`", "`%s` is for a whole registry; below a path only credentials differ", key)
		}
	}
}

// file reads the path of a file that must be there.
func (d *decoder) file(n *yaml.Node, what string) (string, bool) {
	text, ok := d.filled(n, what)
	if !ok {
		return "", false
	}
	path := d.src.path(text)
	if _, err := os.Stat(path); err != nil {
		d.fail(d.resolve(n), "%s: %s: %s", what, d.shown(n, path), pathCause(err))
	}
	return path, true
}

// proxy reads a proxy's URL or "direct". It shows no part of it: the password may be in it.
func (d *decoder) proxy(n *yaml.Node, what string) (Secret, bool) {
	text, ok := d.filled(n, what)
	if !ok || text == "direct" {
		return Secret(text), ok
	}
	const want = "a proxy is written `http://host:port`, `https://…`, `socks5://…` or `direct`"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		d.suggest(d.resolve(n), want, "%s is not a URL", what)
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		d.suggest(d.resolve(n), want, "%s has a scheme that is not supported", what)
	}
	return Secret(text), true
}

// mirror reads the URL of a mirror.
func (d *decoder) mirror(n *yaml.Node, what string) (string, bool) {
	text, ok := d.filled(n, what)
	if !ok {
		return "", false
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		d.suggest(d.resolve(n), "a mirror is written `https://host`", "a mirror is not a URL")
		return "", false
	case u.User != nil:
		d.suggest(d.resolve(n), "put them under `registries`, by the mirror's host", "a mirror's URL may not hold credentials")
		return "", false
	}
	return text, true
}
