package registry

import (
	"context"
	"log/slog"
	"net"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// Options are how a Client works. The zero value works: anonymous, https, with the default
// limits and retries.
type Options struct {
	// Hosts gives the settings of a registry by its name, "docker.io" or
	// "harbor.corp:5443". It may be asked often and should answer alike. Nil is the zero
	// HostConfig for all.
	Hosts func(host string) HostConfig
	// Credentials are asked for every token and, where a registry takes passwords, for
	// every request. Nil is anonymous.
	Credentials Credentials
	// Limiter has the slots that requests wait for, and receives the outcome of each. If nil, the
	// client creates one with the defaults.
	Limiter *limit.Limiter
	// Retry applies to requests that are items by themselves: for a manifest, a tag, a page of a
	// listing. The client sets its Uncounted. The requests of a blob are sent once, and the
	// caller retries; errors say whether that makes sense: an [*Error] has its status and the
	// time to wait, a [*ConnectionError] its cause.
	Retry retry.Policy
	// UserAgent is "regsync" if empty.
	UserAgent string
	// Logger is told every request at the debug level, without secrets; nil is nobody.
	Logger *slog.Logger
	// CertsDirs are directories of directories named after registries, with their
	// certificates, as docker's /etc/docker/certs.d. Nil is [DefaultCertsDirs].
	CertsDirs []string
	// HubAPI is the base URL of Docker Hub's API, which tells what its registry does not;
	// https://hub.docker.com if empty.
	HubAPI string
	// Dial opens connections to registries and to where they redirect to, as a net.Dialer's
	// DialContext does, whose place it takes; nil is a net.Dialer. It has to refuse addresses itself.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Credentials tell who one is for a repository of a registry; an empty repository is the
// registry as a whole. They may be asked often and concurrently.
type Credentials interface {
	Credential(ctx context.Context, host, repository string) (auth.Credential, error)
}

// TLSMode is how a registry is spoken to.
type TLSMode string

// The modes. The empty one is TLSEnabled, except for a registry on a loopback address that
// does not speak TLS: that is spoken to in plain http.
const (
	TLSEnabled  TLSMode = "enabled"
	TLSDisabled TLSMode = "disabled"
	TLSInsecure TLSMode = "insecure" // certificates are not checked
)

// HostConfig are the settings of one registry. The zero value works.
type HostConfig struct {
	TLS TLSMode
	// CA is a PEM file of authorities that are trusted besides the system's.
	CA string
	// Cert and Key are PEM files of the client's certificate.
	Cert, Key string
	// Proxy is the URL of an http, https or socks5 proxy for the registry, its token
	// server and where it redirects to; "direct" for none; empty for the environment's.
	Proxy string
	// Mirrors are asked first for what is read, in this order: a host or a URL, whose path
	// is put before the repository ("https://harbor.corp/hub").
	Mirrors []string
	// MaxConnections is how many idle connections are kept; 192 if zero. It limits none.
	MaxConnections int
}

func (c HostConfig) isZero() bool {
	return c.TLS == "" && c.CA == "" && c.Cert == "" && c.Key == "" && c.Proxy == "" &&
		len(c.Mirrors) == 0 && c.MaxConnections == 0
}
