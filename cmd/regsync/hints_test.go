package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// errorAt is an error of one side of a copy.
func errorAt(side transfer.Side, name string, err error) error {
	ref, parseErr := reference.Parse(name)
	if parseErr != nil {
		panic(parseErr)
	}
	return fmt.Errorf("copy: %w", &transfer.Error{Side: side, Reference: ref, Err: err})
}

// TestHints: each cause that is known has a hint of its own, in testdata/texts.golden; the others have none ("-").
func TestHints(t *testing.T) {
	connection := func(host string, err error) error {
		return &registry.ConnectionError{Registry: host, Host: host, Method: "HEAD", URL: "https://" + host + "/v2/", Err: err}
	}
	var said strings.Builder
	disk := func(err error) error { return &layout.DiskError{Path: "/d", Err: err} }
	for _, test := range []struct {
		name string
		err  error
	}{
		{"no proxy to Docker Hub", connection("docker.io", os.ErrDeadlineExceeded)},
		{"Docker Hub's name is not resolved", connection("docker.io", &net.DNSError{IsNotFound: true})},
		{"time-out elsewhere", connection("a.corp:5000", os.ErrDeadlineExceeded)},
		{"unknown host", connection("a.corp", &net.DNSError{Name: "a.corp", IsNotFound: true})},
		{"nothing listens", connection("a.corp", syscall.ECONNREFUSED)},
		{"plain http", connection("a.corp:80", &registry.NotTLSError{Host: "a.corp:80", HTTP: true})},
		{"a web page", &registry.NotRegistryError{Host: "a.corp", URL: "https://a.corp/v2/"}},
		{"no TLS", connection("a.corp:22", &registry.NotTLSError{Host: "a.corp:22"})},
		{"unknown authority", connection("a.corp", x509.UnknownAuthorityError{})},
		{"other name", connection("a.corp", x509.HostnameError{Certificate: &x509.Certificate{}})},
		{"pull quota", errorAt(transfer.SideSource, "nginx", &registry.Error{Status: http.StatusTooManyRequests, Limit: registry.LimitPulls})},
		{"a pull quota that was planned with", &limit.PauseError{Registry: "docker.io", Class: limit.Pull, Quota: true}},
		{"a pull quota elsewhere", &limit.PauseError{Registry: "cache.corp", Class: limit.Pull, Quota: true}},
		{"Docker Hub's abuse limit", errorAt(transfer.SideSource, "nginx", &registry.Error{Status: http.StatusTooManyRequests, Limit: registry.LimitRequests})},
		{"the limit of Docker Hub's API", errorAt(transfer.SideSource, "nginx", &registry.Error{Status: http.StatusTooManyRequests, Limit: registry.LimitAPI})},
		{"a pause of Docker Hub's API", &limit.PauseError{Registry: "hub.docker.com", Class: limit.Small}},
		{"a pause elsewhere", &limit.PauseError{Registry: "harbor.corp"}},
		{"too many requests", errorAt(transfer.SideSource, "a.corp/x", &registry.Error{Status: http.StatusTooManyRequests})},
		{"not logged in", errorAt(transfer.SideSource, "a.corp/x", content.ErrUnauthorized)},
		{"no rights", errorAt(transfer.SideDestination, "nginx", content.ErrDenied)},
		{"no room for a project", errorAt(transfer.SideDestination, "a.corp/x:1", content.ErrQuota)},
		{"a tag that is immutable there", errorAt(transfer.SideDestination, "a.corp/x:1", content.ErrImmutable)},
		{"an image with vulnerabilities", errorAt(transfer.SideSource, "a.corp/x:1", content.ErrPolicy)},
		{"no tag", errorAt(transfer.SideSource, "a.corp/x:1", content.ErrNotFound)},
		{"no manifest of a digest", errorAt(transfer.SideSource, "a.corp/x@sha256:"+strings.Repeat("0", 64), content.ErrNotFound)},
		{"no child to inspect", about(reference.Reference{Transport: reference.Registry, Registry: "a.corp", Repository: "x", Tag: "1"},
			&content.PartError{Part: content.Descriptor{Digest: "sha256:abc"}, Err: content.ErrNotFound})},
		{"no blob of an image", errorAt(transfer.SideSource, "a.corp/x:1", &content.PartError{Part: content.Descriptor{Digest: "sha256:abc"}, Err: content.ErrNotFound})},
		{"no child of an index", errorAt(transfer.SideSource, "a.corp/x:1", &content.PartError{
			Part: content.Descriptor{Digest: "sha256:abc", Platform: &content.Platform{OS: "linux", Architecture: "arm64"}}, Err: content.ErrNotFound,
		})},
		{"an index of layers", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.BlobsInIndexError{Registry: "a.corp", Err: content.ErrNotFound})},
		{"too large for one request", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.SizeError{Registry: "a.corp", Size: 1 << 20, Err: content.ErrInvalid})},
		{"artifacts refused", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.ArtifactError{Registry: "a.corp", Err: content.ErrDenied})},
		{"URLs of foreign layers", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.LayerURLsError{Registry: "a.corp", Err: content.ErrInvalid})},
		{"a repository that the registry does not have", errorAt(transfer.SideSource, "a.corp/x:1", &registry.Error{Status: http.StatusNotFound, Code: "NAME_UNKNOWN"})},
		{"plain http at another host", &registry.ConnectionError{Registry: "a.corp", Host: "b.corp", Err: &registry.NotTLSError{Host: "b.corp", HTTP: true}}},
		{"a certificate of another host", &registry.ConnectionError{Registry: "a.corp", Host: "b.corp", Err: x509.UnknownAuthorityError{}}},
		{"a connection to Docker Hub breaks off", connection("docker.io", io.ErrUnexpectedEOF)},
		{"no catalog without a login", &noCatalogError{"a.corp", content.ErrUnauthorized}},
		{"no catalog for this account", &noCatalogError{"a.corp", content.ErrDenied}},
		{"no catalog", &noCatalogError{"a.corp", content.ErrNotFound}},
		{"no repository", errorAt(transfer.SideDestination, "a.corp/x:1", content.ErrNotFound)},
		{"not in the store", errorAt(transfer.SideSource, "store:a.corp/x:1", content.ErrNotFound)},
		{"no platform", errorAt(transfer.SideSource, "a.corp/x:1", transfer.ErrNoPlatform)},
		{"schema 1", errorAt(transfer.SideSource, "a.corp/x:1", content.ErrSchema1)},
		{"stdout full", &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}},
		{"docker's config read-only", &os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}},
		{"store full", fmt.Errorf("open the local store: %w", disk(syscall.ENOSPC))},
		{"store full in a pull", errorAt(transfer.SideDestination, "store:nginx", disk(syscall.EDQUOT))},
		{"store read-only", disk(syscall.EROFS)},
		{"layout full", errorAt(transfer.SideDestination, "oci:d:1", disk(syscall.ENOSPC))},
		{"layout read-only", errorAt(transfer.SideDestination, "oci:d:1", disk(syscall.EROFS))},
		{"spool full", errorAt(transfer.SideDestination, "a.corp/x", &os.PathError{Op: "write", Err: syscall.ENOSPC})},
		{"proxy refuses", connection("docker.io", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{
			Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, Err: syscall.ECONNREFUSED,
		}})},
		{"no layout", errorAt(transfer.SideSource, "oci:d:1", &layout.NoLayoutError{Path: "/d"})},
		{"no tag in a layout", errorAt(transfer.SideSource, "oci:d:1", content.ErrNotFound)},
		{"catalog of Docker Hub", &noCatalogError{reference.DockerHub, content.ErrNotFound}},
		{"a pattern that fits no repository", &mirror.NoRepositoryError{Registry: "a.corp", Glob: "x/*"}},
		{"Docker Hub and a pattern", &mirror.CatalogError{Registry: reference.DockerHub, Err: content.ErrUnsupported}},
		{"a catalog that is not for everyone", errorAt(transfer.SideSource, "a.corp/x", &mirror.CatalogError{Registry: "a.corp", Err: content.ErrDenied})},
		{"a catalog out of reach", &mirror.CatalogError{Registry: "a.corp", Err: connection("a.corp", syscall.ECONNREFUSED)}},
		{"a catalog that breaks off", &mirror.CatalogError{Registry: "a.corp", Err: io.ErrUnexpectedEOF}},
		{"the registry has no push times", errorAt(transfer.SideSource, "a.corp/x", &mirror.PushTimesError{Err: content.ErrUnsupported})},
		{"it was not told when tags were pushed", errorAt(transfer.SideSource, "a.corp/x", &mirror.PushTimesError{Err: content.ErrUnauthorized})},
		{"no tag is selected", errorAt(transfer.SideSource, "a.corp/x", &mirror.NothingSelectedError{Repository: reference.Reference{Registry: "a.corp", Repository: "x"}, Listed: 3})},
		{"no tag is there", &mirror.NothingSelectedError{}},
		{"two images for one tag", &mirror.CollisionError{}},
		{"an entry has had its time", &transfer.TimeoutError{Entry: "web", Timeout: time.Hour}},
		{"the run is ending", &transfer.DeferredError{Reason: "the run is ending"}},
		{"nothing known", errors.New("something else")},
		{"cancelled", context.Canceled},
	} {
		fmt.Fprintf(&said, "%s\n    %s\n", test.name, cmp.Or(userSettings{}.hintFor(test.err), "-"))
	}
	golden.Text(t, said.String())
}

func TestReportErrorTellsEachOnce(t *testing.T) {
	refused := fmt.Errorf("push: %w", content.ErrDenied)
	var told strings.Builder
	newApp(Environment{Stderr: &told}).printError(errors.Join(&failures{errs: []error{refused, refused, errors.New("a\x1b[2Jb\nc")}}, nil))
	golden.Text(t, told.String())
}

// Hints name hosts that a registry chose.
func TestHintsAreSafeToPrint(t *testing.T) {
	var told strings.Builder
	newApp(Environment{Stderr: &told}).printError(&registry.ConnectionError{
		Registry: "a.corp", Host: "x\u009b2J\nregsync hint y", Err: &net.DNSError{Name: "x", IsNotFound: true},
	})
	if strings.Count(told.String(), "\n") != 2 || strings.Contains(told.String(), "\u009b") {
		t.Errorf("got %q", told.String())
	}
	golden.Text(t, told.String())
}

func TestPanicIsTold(t *testing.T) {
	var told strings.Builder
	reportPanic(&told, "index out of range")
	line, _, _ := strings.Cut(told.String(), "\n")
	golden.Text(t, line)
	for _, want := range []string{"goroutine", "regsync ", "/issues"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("%q is missing in\n%s", want, told.String())
		}
	}
}

// TestHintsNameTheConfiguration: a login or a proxy that fails is told with its place in the configuration; `regsync login`
// would change nothing.
func TestHintsNameTheConfiguration(t *testing.T) {
	settings := &config.Config{Registries: []config.Registry{
		{Host: "a.corp", Username: "all", CredentialsAt: config.Position{File: "mirror.yaml", Line: 3}, Proxy: "http://127.0.0.1:7890", ProxyAt: config.Position{File: "mirror.yaml", Line: 4}},
		{Host: "a.corp", Path: "team", Username: "team", CredentialsAt: config.Position{File: "mirror.yaml", Line: 6}},
	}}
	proxy := &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7890}, Err: syscall.ECONNREFUSED}}
	for want, err := range map[string]error{
		"mirror.yaml:3": errorAt(transfer.SideSource, "a.corp/x:1", content.ErrUnauthorized),
		"mirror.yaml:6": errorAt(transfer.SideSource, "a.corp/team/x:1", content.ErrDenied),
		"mirror.yaml:4": errorAt(transfer.SideSource, "a.corp/x:1", &registry.ConnectionError{Registry: "a.corp", Host: "a.corp", Err: proxy}),
		"regsync login": errorAt(transfer.SideSource, "b.corp/x:1", content.ErrUnauthorized),
	} {
		if got := (userSettings{settings: settings}).hintFor(err); !strings.Contains(got, want) || want != "regsync login" && strings.Contains(got, "regsync login") {
			t.Errorf("%v: got %q, want %s", err, got, want)
		}
	}
}
