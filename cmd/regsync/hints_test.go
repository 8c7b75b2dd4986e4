package main

import (
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

func TestHints(t *testing.T) {
	connection := func(host string, err error) error {
		return &registry.ConnectionError{Registry: host, Host: host, Method: "HEAD", URL: "https://" + host + "/v2/", Err: err}
	}
	disk := func(err error) error { return &layout.DiskError{Path: "/d", Err: err} }
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"no proxy to Docker Hub", connection("docker.io", os.ErrDeadlineExceeded), "{docker.io: {proxy: URL}} or {docker.io: {mirrors: [URL]}}"},
		{"Docker Hub's name is not resolved", connection("docker.io", &net.DNSError{IsNotFound: true}), "Docker Hub cannot be reached"},
		{"time-out elsewhere", connection("a.corp:5000", os.ErrDeadlineExceeded), `registries: {"a.corp:5000": {proxy: URL}}`},
		{"unknown host", connection("a.corp", &net.DNSError{Name: "a.corp", IsNotFound: true}), "there is no host a.corp"},
		{"nothing listens", connection("a.corp", syscall.ECONNREFUSED), "nothing listens at a.corp"},
		{"plain http", connection("a.corp:80", &registry.NotTLSError{Host: "a.corp:80", HTTP: true}), `{"a.corp:80": {tls: disabled}}`},
		{"a web page", &registry.NotRegistryError{Host: "a.corp", URL: "https://a.corp/v2/"}, "is a.corp the registry's own address"},
		{"no TLS", connection("a.corp:22", &registry.NotTLSError{Host: "a.corp:22"}), "is that the port"},
		{"unknown authority", connection("a.corp", x509.UnknownAuthorityError{}), "/etc/docker/certs.d/a.corp/ca.crt"},
		{"other name", connection("a.corp", x509.HostnameError{Certificate: &x509.Certificate{}}), "another name"},
		{"pull quota", errorAt(transfer.SideSource, "nginx", &registry.Error{Status: http.StatusTooManyRequests, Limit: registry.LimitPulls}), "pull quota is used up. To get more pulls: regsync login docker.io"},
		{"a pull quota that was planned with", &limit.PauseError{Registry: "docker.io", Class: limit.Pull, Quota: true}, "the next run copies the rest. To get more pulls: regsync login docker.io"},
		{"a pull quota elsewhere", &limit.PauseError{Registry: "cache.corp", Class: limit.Pull, Quota: true}, "no more pulls are allowed at cache.corp"},
		{"Docker Hub's abuse limit", errorAt(transfer.SideSource, "nginx", &registry.Error{Status: http.StatusTooManyRequests, Limit: registry.LimitRequests}), "registries: {docker.io: {requestsPerSecond: N}}"},
		{"the limit of Docker Hub's API", errorAt(transfer.SideSource, "nginx", &registry.Error{Status: http.StatusTooManyRequests, Limit: registry.LimitAPI}), "Name the tags"},
		{"a pause of Docker Hub's API", &limit.PauseError{Registry: "hub.docker.com", Class: limit.Small}, "Name the tags"},
		{"a pause elsewhere", &limit.PauseError{Registry: "harbor.corp"}, "registries: {harbor.corp: {requestsPerSecond: N}}"},
		{"too many requests", errorAt(transfer.SideSource, "a.corp/x", &registry.Error{Status: http.StatusTooManyRequests}), "{a.corp: {requestsPerSecond: N}}"},
		{"not logged in", errorAt(transfer.SideSource, "a.corp/x", content.ErrUnauthorized), "regsync login a.corp"},
		{"no rights", errorAt(transfer.SideDestination, "nginx", content.ErrDenied), "another account: regsync login docker.io"},
		{"no room for a project", errorAt(transfer.SideDestination, "a.corp/x:1", content.ErrQuota), "the storage quota for a.corp/x is used up"},
		{"no tag", errorAt(transfer.SideSource, "a.corp/x:1", content.ErrNotFound), "regsync tags a.corp/x"},
		{"no manifest of a digest", errorAt(transfer.SideSource, "a.corp/x@sha256:"+strings.Repeat("0", 64), content.ErrNotFound), ""},
		{"no child to inspect", about(reference.Reference{Transport: reference.Registry, Registry: "a.corp", Repository: "x", Tag: "1"},
			&content.PartError{Part: content.Descriptor{Digest: "sha256:abc"}, Err: content.ErrNotFound}), "a.corp/x lacks sha256:abc"},
		{"no blob of an image", errorAt(transfer.SideSource, "a.corp/x:1", &content.PartError{Part: content.Descriptor{Digest: "sha256:abc"}, Err: content.ErrNotFound}),
			"the source lacks sha256:abc, a part of the image: push the image there again"},
		{"no child of an index", errorAt(transfer.SideSource, "a.corp/x:1", &content.PartError{
			Part: content.Descriptor{Digest: "sha256:abc", Platform: &content.Platform{OS: "linux", Architecture: "arm64"}}, Err: content.ErrNotFound,
		}), "or copy other platforms of it, with --platform or `platforms`"},
		{"an index of layers", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.BlobsInIndexError{Registry: "a.corp", Err: content.ErrNotFound}), "image-manifest=true"},
		{"too large for one request", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.SizeError{Registry: "a.corp", Size: 1 << 20, Err: content.ErrInvalid}), "client_max_body_size"},
		{"artifacts refused", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.ArtifactError{Registry: "a.corp", Err: content.ErrDenied}), "`attestations: auto`"},
		{"URLs of foreign layers", errorAt(transfer.SideDestination, "a.corp/x:1", &registry.LayerURLsError{Registry: "a.corp", Err: content.ErrInvalid}),
			"leave those platforms out with --platform or `platforms`, or allow the URLs in the registry's configuration"},
		{"no repository", errorAt(transfer.SideDestination, "a.corp/x:1", content.ErrNotFound), "create a.corp/x there first"},
		{"not in the store", errorAt(transfer.SideSource, "store:a.corp/x:1", content.ErrNotFound), "regsync images"},
		{"no platform", errorAt(transfer.SideSource, "a.corp/x:1", transfer.ErrNoPlatform), "regsync inspect --remote a.corp/x:1"},
		{"schema 1", errorAt(transfer.SideSource, "a.corp/x:1", content.ErrSchema1), "build the image again"},
		{"stdout full", &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}, ""},
		{"docker's config read-only", &os.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, ""},
		{"store full", fmt.Errorf("open the local store: %w", disk(syscall.ENOSPC)), "regsync rmi IMAGE"},
		{"store full in a pull", errorAt(transfer.SideDestination, "store:nginx", disk(syscall.EDQUOT)), "regsync rmi IMAGE"},
		{"store read-only", disk(syscall.EROFS), "--store DIR"},
		{"layout full", errorAt(transfer.SideDestination, "oci:d:1", disk(syscall.ENOSPC)), "free space in the file system of d, or choose another directory"},
		{"layout read-only", errorAt(transfer.SideDestination, "oci:d:1", disk(syscall.EROFS)), "choose a directory that may be written to"},
		{"spool full", errorAt(transfer.SideDestination, "a.corp/x", &os.PathError{Op: "write", Err: syscall.ENOSPC}), "--state DIR"},
		{"proxy refuses", connection("docker.io", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{
			Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, Err: syscall.ECONNREFUSED,
		}}), "the connection through the proxy 127.0.0.1:9 failed: is HTTPS_PROXY right?"},
		{"no layout", errorAt(transfer.SideSource, "oci:d:1", &layout.NoLayoutError{Path: "/d"}), ""},
		{"no tag in a layout", errorAt(transfer.SideSource, "oci:d:1", content.ErrNotFound), "regsync tags oci:d"},
		{"catalog of Docker Hub", &noCatalogError{reference.DockerHub, content.ErrNotFound}, "no catalog"},
		{"a pattern that fits no repository", &mirror.NoRepositoryError{Registry: "a.corp", Glob: "x/*"}, "regsync repos a.corp"},
		{"Docker Hub and a pattern", &mirror.CatalogError{Registry: reference.DockerHub, Err: content.ErrUnsupported}, "of one namespace, as team/*"},
		{"a catalog that is not for everyone", errorAt(transfer.SideSource, "a.corp/x", &mirror.CatalogError{Registry: "a.corp", Err: content.ErrDenied}), "administrator's account"},
		{"a catalog out of reach", &mirror.CatalogError{Registry: "a.corp", Err: connection("a.corp", syscall.ECONNREFUSED)}, "nothing listens at a.corp"},
		{"a catalog that breaks off", &mirror.CatalogError{Registry: "a.corp", Err: io.ErrUnexpectedEOF}, ""},
		{"nobody tells when tags were pushed", errorAt(transfer.SideSource, "a.corp/x", &mirror.PushTimesError{Err: content.ErrUnsupported}), "`createdWithin` goes by the date"},
		{"it was not told when tags were pushed", errorAt(transfer.SideSource, "a.corp/x", &mirror.PushTimesError{Err: content.ErrUnauthorized}), "regsync login a.corp"},
		{"no tag is selected", errorAt(transfer.SideSource, "a.corp/x", &mirror.NothingSelectedError{Repository: reference.Reference{Registry: "a.corp", Repository: "x"}, Listed: 3}), "regsync tags a.corp/x"},
		{"no tag is there", &mirror.NothingSelectedError{}, ""},
		{"two images for one tag", &mirror.CollisionError{}, "keeps them apart"},
		{"an entry has had its time", &transfer.TimeoutError{Entry: "web", Timeout: time.Hour}, "gives the entry more time"},
		{"the run is ending", &transfer.DeferredError{Reason: "the run is ending"}, ""},
		{"nothing known", errors.New("something else"), ""},
		{"cancelled", context.Canceled, ""},
	} {
		got := hintFor(test.err, nil)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestReportErrorTellsEachOnce(t *testing.T) {
	refused := fmt.Errorf("push: %w", content.ErrDenied)
	var told strings.Builder
	newApp(Environment{Stderr: &told}).printError(errors.Join(&failures{errs: []error{refused, refused, errors.New("a\x1b[2Jb\nc")}}, nil))
	want := `regsync: error: push: denied
regsync: hint: the account is not allowed to do this, or the repository or namespace does not exist; to use another account: regsync login HOST
regsync: error: a\x1b[2Jb c
`
	if got := told.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Hints name hosts that a registry chose.
func TestHintsAreSafeToPrint(t *testing.T) {
	var told strings.Builder
	newApp(Environment{Stderr: &told}).printError(&registry.ConnectionError{
		Registry: "a.corp", Host: "x\u009b2J\nregsync hint y", Err: &net.DNSError{Name: "x", IsNotFound: true},
	})
	if _, hint, _ := strings.Cut(told.String(), "\n"); hint != "regsync: hint: there is no host x\\u009b2J regsync hint y: is the name right?\n" {
		t.Errorf("got %q", hint)
	}
}

func TestPanicIsTold(t *testing.T) {
	var told strings.Builder
	reportPanic(&told, "index out of range")
	for _, want := range []string{"regsync: internal error: index out of range\n", "goroutine", "regsync ", "/issues"} {
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
		if got := hintFor(err, settings); !strings.Contains(got, want) || want != "regsync login" && strings.Contains(got, "regsync login") {
			t.Errorf("%v: got %q, want %s", err, got, want)
		}
	}
}
