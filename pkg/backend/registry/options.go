package registry

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// Options are the options of a Client. The zero value works: anonymous, https, with the default limits and retries.
type Options struct {
	// Hosts returns the settings of a registry by its name, "docker.io" or "harbor.corp:5443". It may be called often, and
	// should return the same each time. Nil means the zero HostConfig for all.
	Hosts func(host string) HostConfig
	// Credentials is called for every token and, if a registry uses passwords, for every request: often, and concurrently.
	// Nil is anonymous.
	Credentials auth.Store
	// Limiter has the slots that requests wait for, and receives the outcome of each. If nil, the
	// client creates one with the defaults.
	Limiter *limit.Limiter
	// Abilities remembers between runs how registries accept uploads; may be nil.
	Abilities Abilities
	// Retry applies to requests that are items by themselves: for a manifest, a tag, a page of a
	// listing. The client sets its Uncounted. The requests of a blob are sent once, and the
	// caller retries; errors say whether that makes sense: an [*Error] has its status and the
	// time to wait, a [*ConnectionError] its cause.
	Retry retry.Policy
	// UserAgent is "regsync" if empty.
	UserAgent string
	// Logger logs every request at the debug level, without secrets; may be nil.
	Logger *slog.Logger
	// Warn is called once for each problem that does not stop requests: a dangling symbolic link in CertsDirs.
	// It may be called on any goroutine; may be nil.
	Warn func(error)
	// CertsDirs are directories of directories named after registries (HOST[:PORT]), with their certificates. Nil means
	// those in which docker (also rootless) and podman look, such as /etc/docker/certs.d.
	CertsDirs []string
	// HubAPI is the base URL of Docker Hub's API, which has what its registry lacks; https://hub.docker.com if empty.
	HubAPI string
	// Dial opens connections to registries and to the hosts that they redirect to, like the DialContext of the
	// net.Dialer that it replaces; nil means a net.Dialer. Dial must refuse unsafe addresses itself.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Abilities remembers what registries were seen to do. The client chooses names and values, such as "chunk" and
// "<=4194304". It is used concurrently.
type Abilities interface {
	// Ability returns what was seen last; known is false if nothing is remembered.
	Ability(registry, ability string) (seen string, known bool)
	KeepAbility(registry, ability, seen string)
}

// TLSMode says whether the client uses TLS for a registry.
type TLSMode = wire.TLSMode

// The modes. The empty mode is TLSEnabled, except that the client uses plain http for a registry on a loopback address that
// does not support TLS.
const (
	TLSEnabled  = wire.TLSEnabled
	TLSDisabled = wire.TLSDisabled
	TLSInsecure = wire.TLSInsecure // certificates are not checked
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
	// Mirrors are tried first for reads, in this order: a host or a URL, whose path is put before the repository
	// ("https://harbor.corp/hub").
	Mirrors []string
	// MaxConnections is how many idle connections are kept; 192 if zero. It does not limit connections in use.
	MaxConnections int
}

func (c HostConfig) isZero() bool {
	return c.TLS == "" && c.CA == "" && c.Cert == "" && c.Key == "" && c.Proxy == "" &&
		len(c.Mirrors) == 0 && c.MaxConnections == 0
}

// limits are the client's waits besides those of [wire.Limits], and its bounds for listings.
type limits struct {
	token  time.Duration // for a whole token request
	cancel time.Duration // for cancelling an upload, after the caller's context has ended

	cancelPauses []time.Duration // pauses before each request for the newest location of an upload to cancel
	statusPause  time.Duration   // between two requests for the offset of an upload

	pages     int // in a listing, empty ones included
	names     int // tags or repositories in a listing, valid or not
	referrers int // of one subject
}

func defaultLimits() limits {
	return limits{
		token: 2 * time.Minute, cancel: 2 * time.Second,
		cancelPauses: []time.Duration{100 * time.Millisecond, 500 * time.Millisecond},
		statusPause:  500 * time.Millisecond,
		pages:        10_000, names: 1_000_000, referrers: 1_000,
	}
}
