package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/config/internal/decode"
	"github.com/regsync/regsync/pkg/mirror/config/internal/document"
	"github.com/regsync/regsync/pkg/mirror/internal/quote"
	"github.com/regsync/regsync/pkg/reference"
)

func registryForm() decode.Form[Registry] {
	file := decode.Kind[string]{Schema: decode.TextSchema(), Read: func(d *decode.Decoder, n *yaml.Node, what string) (string, bool) {
		_, path, _, ok := d.ReadFile(n, what)
		return path, ok
	}}
	mirror := decode.Parsed(decode.TextSchema(), parseMirror, "write a mirror as `https://host`, and its login under `registries`")
	return decode.Form[Registry]{What: "a registry", Later: []string{"aliyun"}, Fields: decode.Fields[Registry]{
		"username": decode.Into("The user name; needs a password.",
			decode.Text[string](), func(r *Registry) *string { return &r.Username }),
		"password": decode.Into("The password or access token; preferably a variable, such as ${TOKEN}.",
			decode.Text[auth.Secret](), func(r *Registry) *auth.Secret { return &r.Password }),
		"passwordFile": decode.Into("A file with the password, instead of password.",
			decode.Kind[auth.Secret]{Schema: decode.TextSchema(), Read: readPassword}, func(r *Registry) *auth.Secret { return &r.Password }),
		"tls": decode.Into("enabled (default); disabled: plain HTTP; insecure: HTTPS without certificate checks.",
			decode.Choice(TLSEnabled, TLSDisabled, TLSInsecure), func(r *Registry) *TLS { return &r.TLS }),
		"ca": decode.Into("A PEM file with certificate authorities to trust in addition to those of the system.",
			file, func(r *Registry) *string { return &r.CA }),
		"cert": decode.Into("The client certificate, a PEM file; needs key.",
			file, func(r *Registry) *string { return &r.Cert }),
		"key": decode.Into("The private key of cert, a PEM file.",
			file, func(r *Registry) *string { return &r.Key }),
		"proxy": decode.Into("The proxy for this registry, its token server and its storage: http://, https://, socks5:// or socks5h://; direct: no proxy.",
			decode.Parsed(decode.TextSchema(), parseProxy, "write a proxy as `http://host:port`, `https://…`, `socks5://…` or `direct`"),
			func(r *Registry) *auth.Secret { return &r.Proxy }),
		"mirrors": decode.Into("URLs to try first when images are read, in this order.",
			decode.ListOf(mirror), func(r *Registry) *[]string { return &r.Mirrors }),
		// Three: one for reads, one for writes, one for small requests.
		"maxConnections": decode.Into("The largest number of requests in flight; at least 3. Default: 192.",
			decode.Number(3), func(r *Registry) *int { return &r.MaxConnections }),
		"requestsPerSecond": decode.Into("The largest number of requests per second. Default: unlimited.",
			decode.Number(1), func(r *Registry) *int { return &r.RequestsPerSecond }),
		"bandwidth": decode.Into("The largest number of bytes per second, sent and received together: 10MiB/s, or by time of day: 08:00-20:00 10MiB/s, else unlimited.",
			decode.Timetable(), func(r *Registry) *limit.Timetable { return &r.Bandwidth }),
		"pullReserve": decode.Into("How many pulls to leave to other clients, if the registry counts pulls. Default: 0.",
			decode.Number(0), func(r *Registry) *int { return &r.PullReserve }),
	}}
}

// registryAt is a registry with its position in the file.
type registryAt struct {
	Registry
	src      *document.Source
	at       Position
	password *yaml.Node // nil unless it is written into the file itself
}

// decodeRegistries reads the value of `registries`.
func decodeRegistries(d *decode.Decoder, n *yaml.Node) []registryAt {
	pairs, _ := d.Pairs(n, "`registries`")
	form := registryForm()
	var all []registryAt
	for _, p := range pairs {
		r, known := registryName(d, p)
		present, ok := decode.Mapping(d, p.Value, form, &r)
		if known && ok {
			checkRegistry(d, p, r, present)
			if present.Has("username") {
				r.CredentialsAt = d.Source.At(present["username"].Name)
			}
			if present.Has("proxy") {
				r.ProxyAt = d.Source.At(present["proxy"].Name)
			}
			at := registryAt{Registry: r, src: d.Source, at: d.Source.At(p.Name)}
			if present.Has("password") && !strings.Contains(present["password"].Value.Value, "${") {
				at.password = present["password"].Value
			}
			all = append(all, at)
		}
	}
	return all
}

// registryName reads a key of `registries`: host[:port], or host/path.
func registryName(d *decode.Decoder, p decode.Pair) (r Registry, ok bool) {
	host, below, hasPath := strings.Cut(p.Key, "/")
	registry, isHost := registryOf(host)
	_, rest, isURL := strings.Cut(p.Key, "://")
	switch {
	case strings.Contains(p.Key, "${"):
		d.Suggest(p.Name, "write the host", "%s: variables are replaced in values only, not in keys", quote.Word(p.Key))
	case isURL:
		rest = rest[strings.LastIndex(rest, "@")+1:] // what is before it is a login
		d.Suggest(p.Name, "write "+quote.Word(strings.TrimSuffix(rest, "/")), "a registry is a host, not a URL")
	case strings.Contains(p.Key, "@"):
		d.Suggest(p.Name, "put it under the host, as `username` and `password`", "the name of a registry cannot contain a login")
	case !isHost:
		d.Suggest(p.Name, "a host has a dot or a port, such as `harbor.corp` or `harbor:443`", "%s is not the host of a registry", quote.Word(host))
	default:
		if ref, err := reference.ParseRepository(p.Key + "/a"); hasPath && (err != nil || ref.Repository != below+"/a") {
			d.Fail(p.Name, "%s is not a valid repository path", quote.Word(below))
			return r, false
		}
		return Registry{Host: registry, Path: below}, true
	}
	return r, false
}

// registryOf returns the registry of a host.
func registryOf(host string) (string, bool) {
	ref, err := reference.ParseRepository(host + "/a/b")
	if err != nil || ref.Transport != reference.Registry || ref.Repository != "a/b" {
		return "", false
	}
	return ref.Registry, true
}

// checkRegistry finds keys of a registry that exclude each other.
func checkRegistry(d *decode.Decoder, p decode.Pair, r Registry, present decode.Pairs) {
	has := present.Has
	if has("password") && has("passwordFile") {
		d.Fail(present["passwordFile"].Name, "`password` and `passwordFile` cannot be used together")
	}
	secret := has("password") || has("passwordFile")
	switch {
	case has("username") && !secret:
		d.Fail(present["username"].Name, "`username` needs `password` or `passwordFile`")
	case secret && !has("username"):
		d.Fail(p.Name, "a password needs `username`")
	}
	if has("cert") != has("key") {
		d.Fail(p.Name, "`cert` and `key` must be set together")
	}
	for _, key := range []string{"ca", "cert", "key"} {
		if has(key) && r.TLS == TLSDisabled {
			d.Fail(present[key].Name, "`%s` has no effect with `tls: disabled`", key)
		}
	}
	if r.Path == "" {
		return
	}
	for key, other := range present {
		if key != "username" && key != "password" && key != "passwordFile" {
			d.Suggest(other.Name, "put it under `"+r.Host+"`", "`%s` applies to a whole registry; a path can have only a login", key)
		}
	}
}

// readPassword reads a password from a file, less one newline.
func readPassword(d *decode.Decoder, n *yaml.Node, what string) (auth.Secret, bool) {
	data, path, shown, ok := d.ReadFile(n, what)
	if !ok {
		return "", false
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if password == "" {
		d.Fail(d.Resolve(n), "%s: %s is empty", what, shown)
		return "", false
	}
	if auth.ReadableByAll(path) {
		warnOfPassword(d, n, shown)
	}
	return auth.Secret(password), true
}

// warnOfPasswords warns if passwords are written into a file that every user can read.
func warnOfPasswords(d *decode.Decoder, registries []registryAt) {
	for _, r := range registries {
		if r.password != nil && auth.ReadableByAll(r.at.File) {
			warnOfPassword(d, r.password, r.at.File)
		}
	}
}

func warnOfPassword(d *decode.Decoder, at *yaml.Node, file string) {
	d.Warnings = append(d.Warnings, fmt.Sprintf("%s: every user of this machine can read the password in %s; chmod 600 it",
		d.Source.At(at), file))
}

// parseProxy reads a proxy's URL or "direct". Its errors do not quote it, because it may contain a
// password.
func parseProxy(text string) (auth.Secret, error) {
	if text == "direct" {
		return auth.Secret(text), nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return "", errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h":
		return "", errors.New("unsupported URL scheme")
	}
	return auth.Secret(text), nil
}

// parseMirror reads the URL of a mirror.
func parseMirror(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", errors.New("not a URL")
	case u.User != nil:
		return "", errors.New("the URL of a mirror cannot contain credentials")
	}
	return text, nil
}
