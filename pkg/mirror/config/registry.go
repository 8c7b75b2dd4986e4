package config

import (
	"net/url"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/reference"
)

func registryKeys() fields[Registry] {
	return fields[Registry]{
		"username": func(d *decoder, n *yaml.Node, into *Registry) { into.Username, _ = d.text(n, "`username`") },
		"password": func(d *decoder, n *yaml.Node, into *Registry) {
			text, _ := d.text(n, "`password`")
			into.Password = Secret(text)
		},
		"passwordFile": func(d *decoder, n *yaml.Node, into *Registry) { into.Password, _ = d.passwordFile(n) },
		"tls": func(d *decoder, n *yaml.Node, into *Registry) {
			word, _ := d.choice(n, "`tls`", string(TLSEnabled), string(TLSDisabled), string(TLSInsecure))
			into.TLS = TLS(word)
		},
		"ca":      func(d *decoder, n *yaml.Node, into *Registry) { into.CA = d.file(n, "`ca`") },
		"cert":    func(d *decoder, n *yaml.Node, into *Registry) { into.Cert = d.file(n, "`cert`") },
		"key":     func(d *decoder, n *yaml.Node, into *Registry) { into.Key = d.file(n, "`key`") },
		"proxy":   func(d *decoder, n *yaml.Node, into *Registry) { into.Proxy = d.proxy(n) },
		"mirrors": func(d *decoder, n *yaml.Node, into *Registry) { into.Mirrors = d.mirrors(n) },
		"maxConnections": func(d *decoder, n *yaml.Node, into *Registry) {
			// Three: one for reads, one for writes, one for small requests.
			into.MaxConnections, _ = d.integer(n, "`maxConnections`", 3)
		},
	}
}

func registryLater() []string { return []string{"requestsPerSecond", "bandwidth", "aliyun"} }

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
		present, ok := decodeMapping(d, p.node, "a registry", registryKeys(), registryLater(), &r)
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
	if _, rest, isURL := strings.Cut(p.key, "://"); isURL {
		rest = rest[strings.LastIndex(rest, "@")+1:] // a password may be before it
		d.suggest(p.name, "write "+quote(strings.TrimSuffix(rest, "/")), "a registry is named by its host, not by a URL")
		return r, false
	}
	host, below, hasPath := strings.Cut(p.key, "/")
	ref, err := reference.ParseRepository(host + "/a/b")
	if err != nil || ref.Transport != reference.Registry || ref.Repository != "a/b" {
		d.suggest(p.name, "a host has a dot or a port, as `harbor.corp` or `harbor:443`", "%s is not the host of a registry", quote(host))
		return r, false
	}
	r.Host, r.Path = ref.Registry, below
	if hasPath {
		ref, err := reference.ParseRepository(p.key + "/a")
		if err != nil || ref.Repository != below+"/a" {
			d.fail(p.name, "%s is not a path at a registry", quote(below))
			return r, false
		}
	}
	return r, true
}

// checkRegistry finds what cannot be right together.
func (d *decoder) checkRegistry(p pair, r Registry, present map[string]*yaml.Node) {
	has := func(key string) bool { return present[key] != nil }
	if has("password") && has("passwordFile") {
		d.fail(present["passwordFile"], "`password` and `passwordFile` exclude each other")
	}
	secret := has("password") || has("passwordFile")
	switch {
	case has("username") && !secret:
		d.fail(present["username"], "`username` needs `password` or `passwordFile`")
	case secret && !has("username"):
		d.fail(p.name, "a password needs `username`")
	}
	if has("cert") != has("key") {
		d.fail(p.name, "`cert` and `key` need each other")
	}
	for _, key := range []string{"ca", "cert", "key"} {
		if has(key) && r.TLS == TLSDisabled {
			d.fail(present[key], "`%s` has no effect with `tls: disabled`", key)
		}
	}
	if r.Path == "" {
		return
	}
	for key, name := range present {
		switch key {
		case "username", "password", "passwordFile":
		default:
			d.suggest(name, "put it under `"+r.Host+"`", "`%s` is for a whole registry; below a path only credentials differ", key)
		}
	}
}

// file reads the path of a file that must be there.
func (d *decoder) file(n *yaml.Node, what string) string {
	text, ok := d.filled(n, what)
	if !ok {
		return ""
	}
	path := d.src.path(text)
	if _, err := os.Stat(path); err != nil {
		d.fail(d.resolve(n), "%s: %s: %s", what, d.shown(n, path), pathCause(err))
	}
	return path
}

// proxy reads a proxy's URL or "direct". It shows no part of it: the password may be in it.
func (d *decoder) proxy(n *yaml.Node) Secret {
	text, ok := d.filled(n, "`proxy`")
	if !ok || text == "direct" {
		return Secret(text)
	}
	const want = "a proxy is written `http://host:port`, `https://…`, `socks5://…` or `direct`"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		d.suggest(d.resolve(n), want, "`proxy` is not a URL")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		d.suggest(d.resolve(n), want, "`proxy` has a scheme that is not supported")
	}
	return Secret(text)
}

func (d *decoder) mirrors(n *yaml.Node) []string {
	elements := d.list(n, "`mirrors`", true)
	var mirrors []string
	for _, e := range elements {
		text, ok := d.filled(e, "a mirror")
		if !ok {
			continue
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			d.suggest(d.resolve(e), "a mirror is written `https://host`", "a mirror is not a URL")
		case u.User != nil:
			d.suggest(d.resolve(e), "put them under `registries`, by the mirror's host", "a mirror's URL may not hold credentials")
		default:
			mirrors = append(mirrors, text)
		}
	}
	return mirrors
}
