package registry

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

func TestMain(m *testing.M) {
	// net/http reads the environment's proxies once; loopback never goes there.
	environment := newForwardProxy()
	defer environment.server.Close()
	_ = os.Setenv("HTTP_PROXY", environment.url())
	_ = os.Setenv("HTTPS_PROXY", environment.url())
	_ = os.Setenv("NO_PROXY", "direct.invalid")
	environmentProxy = environment
	m.Run() // testing exits with what it returns
}

// unresolvable is too long for a label: the resolver asks nobody.
var unresolvable = strings.Repeat("x", 64)

var environmentProxy *forwardProxy

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// forwardProxy answers for every host, and remembers whom it was asked for.
type forwardProxy struct {
	server *httptest.Server
	mu     sync.Mutex
	asked  []string
}

func newForwardProxy() *forwardProxy {
	p := &forwardProxy{}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, req.Method+" "+req.URL.Host+req.Host+" "+req.Header.Get("Proxy-Authorization"))
		p.mu.Unlock()
		w.WriteHeader(http.StatusTeapot)
	}))
	p.server.Config.ErrorLog = quietLog()
	p.server.Start()
	return p
}

func (p *forwardProxy) url() string { return p.server.URL }

// all are the requests so far that have the given part.
func (p *forwardProxy) all(part string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.asked), func(asked string) bool { return !strings.Contains(asked, part) })
}

func (p *forwardProxy) count(part string) int { return len(p.all(part)) }

func hosts(config HostConfig) func(string) HostConfig {
	return func(string) HostConfig { return config }
}

func TestProxies(t *testing.T) {
	own := newForwardProxy()
	t.Cleanup(own.server.Close)
	local, _ := serve(t, newRegistry(t))
	for _, test := range []struct {
		name, host, proxy string
		asks              *forwardProxy
	}{
		{"environment", "registry.invalid", "", environmentProxy},
		{"environment, NO_PROXY", unresolvable + ".direct.invalid", "", nil},
		{"environment, loopback", local, "", nil},
		{"direct", unresolvable + ".other.invalid", "direct", nil},
		{"own", "mine.invalid", own.url(), own},
		{"own, loopback", local, own.url(), own},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, Options{Hosts: hosts(HostConfig{Proxy: test.proxy, TLS: TLSDisabled})})
			before := own.count("") + environmentProxy.count("")
			asked := 0
			if test.asks != nil {
				asked = test.asks.count(test.host)
			}
			_, err := target(t, c, test.host, "a").Resolve(t.Context(), "v1")
			if test.asks == nil {
				if asked := own.count("") + environmentProxy.count(""); asked != before {
					t.Errorf("a proxy was asked; %v", err)
				}
				return
			}
			if test.asks.count(test.host) != asked+1 || answer.Status(err) != http.StatusTeapot {
				t.Errorf("got %v and %q, want the proxy's answer", err, test.asks.all(""))
			}
		})
	}
	c := newClient(t, Options{Hosts: hosts(HostConfig{Proxy: own.url()})})
	if _, err := target(t, c, "tls.invalid", "a").Resolve(t.Context(), "v1"); err == nil || own.count("CONNECT tls.invalid:443") != 1 {
		t.Errorf("https: got %v and %q, want a CONNECT", err, own.all(""))
	}
}

func TestSocksProxy(t *testing.T) {
	asked := make(chan string, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer listener.Close()
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		reader := bufio.NewReader(conn)
		hello := make([]byte, 2)
		_, _ = io.ReadFull(reader, hello)
		_, _ = io.CopyN(io.Discard, reader, int64(hello[1]))
		_, _ = conn.Write([]byte{5, 0})
		request := make([]byte, 5) // version, connect, 0, domain, length
		_, _ = io.ReadFull(reader, request)
		name := make([]byte, request[4])
		_, _ = io.ReadFull(reader, name)
		asked <- string(name)
	})
	c := newClient(t, Options{Hosts: hosts(HostConfig{Proxy: "socks5://" + listener.Addr().String()})})
	if _, err := target(t, c, "socks.invalid", "a").Resolve(t.Context(), "v1"); err == nil {
		t.Error("got nil, want an error")
	}
	if got := <-asked; got != "socks.invalid" {
		t.Errorf("the proxy was asked for %q", got)
	}
}

func TestBadSettings(t *testing.T) {
	for name, config := range map[string]HostConfig{
		"proxy scheme": {Proxy: "ftp://user:pa55word@h"}, "proxy": {Proxy: "http://user:pa55word@h:port"},
		"tls": {TLS: "maybe"}, "cert without key": {Cert: "x"}, "ca": {CA: "/nonexistent"},
		"mirror": {Mirrors: []string{"https://user:pa55word@h"}}, "mirror scheme": {Mirrors: []string{"ftp://h"}},
	} {
		c := newClient(t, Options{Hosts: hosts(config)})
		h, err := c.host("h.example")
		if err == nil {
			_, err = c.mirrors(&caller{host: h, name: "a"})
		}
		if err == nil || !strings.Contains(err.Error(), "h.example") || strings.Contains(err.Error(), "pa55word") {
			t.Errorf("%s: got %v, want an error that names the registry and no password", name, err)
		}
	}
}

// https first; http only on loopback, and only after an answer that is not TLS.
func TestPlainHTTP(t *testing.T) {
	host, seen := serve(t, newRegistry(t))
	c := newClient(t, Options{})
	push(t, target(t, c, host, "a"), 10)
	if got := c.Requests()[host]; got != int64(seen.count("")) || got != 2 {
		t.Errorf("counted %d requests, the server %d, want 2", got, seen.count(""))
	}
	local := target(t, c, strings.Replace(host, "127.0.0.1", "localhost", 1), "a")
	if there, err := local.HasBlob(t.Context(), layer(10).Descriptor); !there || err != nil {
		t.Errorf("localhost: got %v and %v", there, err)
	}
}

// Who writes that TLS is enabled has it so on loopback, too: without the fallback, and
// without a word in plain http.
func TestEnabledIsNoPlainHTTP(t *testing.T) {
	host, seen := serve(t, newRegistry(t))
	c := newClient(t, Options{Hosts: hosts(HostConfig{TLS: TLSEnabled}), Retry: quick()})
	_, err := target(t, c, host, "a").Resolve(t.Context(), "v1")
	if plain, ok := errors.AsType[*NotTLSError](err); !ok || !plain.HTTP || seen.count("") != 0 {
		t.Errorf("got %v and %q, want that it speaks http, and no request", err, seen.lines())
	}
}

// Log and errors said https where http had been asked.
func TestURLsAreThoseThatWereAsked(t *testing.T) {
	host, _ := serve(t, http.NotFoundHandler())
	var log logged
	c := newClient(t, Options{Logger: debugLog(&log)})
	var silence atomic.Bool
	connections := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if silence.Load() {
			return nil, syscall.ECONNREFUSED
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	c.wire.Transport = connections
	r := target(t, c, host, "a")
	ask := func() error {
		_, err := r.Resolve(t.Context(), "v1")
		return err
	}
	asked := "http://" + host + "/v2/a/manifests/v1"
	if err := ask(); content.AnswerOf(err).URL != asked {
		t.Errorf("an answer: got %v, want %s", content.AnswerOf(err).URL, asked)
	}
	if !strings.Contains(log.String(), "url=http://"+host) {
		t.Errorf("log: got %s, want the url in http", log.String())
	}
	silence.Store(true)
	connections.CloseIdleConnections()
	if err := ask(); !errors.Is(err, syscall.ECONNREFUSED) || content.AnswerOf(err).URL != asked {
		t.Errorf("no answer: got %v, want %s", content.AnswerOf(err).URL, asked)
	}

	// The first words in plain http may fail as well.
	silence.Store(false)
	hangsUp, _ := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	_, err := target(t, c, hangsUp, "a").Resolve(t.Context(), "v1")
	if failure, ok := errors.AsType[*ConnectionError](err); !ok || failure.URL != "http://"+hangsUp+"/v2/a/manifests/v1" {
		t.Errorf("hung up: got %v, want the url in http", err)
	}
}

// elsewhere connects names that are not loopback to a loopback server.
func elsewhere(c *Client, server string) {
	c.wire.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
}

func TestNoTLSElsewhere(t *testing.T) {
	server, seen := serve(t, newRegistry(t))
	c := newClient(t, Options{Retry: quick()})
	elsewhere(c, server)
	_, err := target(t, c, "registry.example:5000", "a").Resolve(t.Context(), "v1")
	plain, ok := errors.AsType[*NotTLSError](err)
	if !ok || !plain.HTTP || plain.Host != "registry.example:5000" || retry.Retryable(err) || seen.count("") != 0 {
		t.Errorf("got %v and %q, want that it speaks http", err, seen.lines())
	}
	c = newClient(t, Options{Hosts: hosts(HostConfig{TLS: TLSDisabled})})
	elsewhere(c, server)
	push(t, target(t, c, "registry.example:5000", "a"), 10)
}

func TestCertificates(t *testing.T) {
	server, client := newIdentity(t, "server"), newIdentity(t, "client")
	dir := t.TempDir()
	ca := write(t, filepath.Join(dir, "ca.pem"), server.cert)
	cert, key := write(t, filepath.Join(dir, "c.pem"), client.cert), write(t, filepath.Join(dir, "k.pem"), client.key)
	for _, test := range []struct {
		name   string
		config HostConfig
		client bool // the server wants a certificate
		works  bool
	}{
		{"not trusted", HostConfig{}, false, false},
		{"ca", HostConfig{CA: ca}, false, true},
		{"insecure", HostConfig{TLS: TLSInsecure}, false, true},
		{"no client certificate", HostConfig{CA: ca}, true, false},
		{"client certificate", HostConfig{CA: ca, Cert: cert, Key: key}, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var wanted *identity
			if test.client {
				wanted = &client
			}
			host, seen := serveTLS(t, newRegistry(t), server, wanted)
			err := pushBlob(t.Context(), target(t, newClient(t, Options{Hosts: hosts(test.config), Retry: quick()}), host, "a"), layer(10))
			if (err == nil) != test.works {
				t.Errorf("got %v, want success %v", err, test.works)
			}
			for _, req := range seen.all("") {
				if req.Proto != "HTTP/1.1" || req.TLS == nil {
					t.Errorf("%s over %s", req.URL, req.Proto)
				}
			}
			if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); test.name == "not trusted" && (!untrusted || seen.count("") != 0) {
				t.Errorf("got %v, want a certificate error and no request in plain http", err)
			}
		})
	}
}

func TestCertsD(t *testing.T) {
	server, client := newIdentity(t, "server"), newIdentity(t, "client")
	host, _ := serveTLS(t, newRegistry(t), server, &client)
	for _, test := range []struct {
		name  string
		files map[string][]byte
		works bool
	}{
		{"as docker reads it", map[string][]byte{"ca.crt": server.cert, "client.cert": client.cert, "client.key": client.key, "README": []byte("x")}, true},
		{"no key", map[string][]byte{"ca.crt": server.cert, "client.cert": client.cert}, false},
		{"no certificate", map[string][]byte{"ca.crt": server.cert, "client.key": client.key}, false},
		{"no PEM", map[string][]byte{"ca.crt": []byte("x")}, false},
		{"nothing", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range test.files {
				write(t, filepath.Join(dir, host, name), data)
			}
			c := newClient(t, Options{CertsDirs: []string{filepath.Join(dir, "missing"), dir}})
			h, err := c.host(host)
			if err == nil {
				err = pushBlob(t.Context(), newRepository(&caller{host: h, name: "a"}), layer(10))
			}
			if (err == nil) != test.works {
				t.Errorf("got %v, want success %v", err, test.works)
			}
		})
	}
}

// A package of certificates that is removed may leave dangling links behind. One of them made a registry unusable.
func TestCertsDWithADanglingLink(t *testing.T) {
	server := newIdentity(t, "server")
	host, _ := serveTLS(t, newRegistry(t), server, nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, host, "ca.crt"), server.cert)
	for _, name := range []string{"old.crt", "client.cert", "client.key"} {
		if err := os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, host, name)); err != nil {
			t.Fatal(err)
		}
	}
	var warnings []string
	c := newClient(t, Options{CertsDirs: []string{dir}, Warn: func(err error) { warnings = append(warnings, err.Error()) }})
	for range 2 {
		if err := pushBlob(t.Context(), target(t, c, host, "a"), layer(10)); err != nil {
			t.Error(err)
		}
	}
	want := filepath.Join(dir, host, "client.cert") + " is a symbolic link to a file that does not exist: ignored"
	if len(warnings) != 3 || !slices.Contains(warnings, want) {
		t.Errorf("got %q, want three with %q", warnings, want)
	}
}

// From https nothing leads to http, whatever it is called.
func TestNoDowngrade(t *testing.T) {
	id := newIdentity(t, "server")
	plain, seen := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }))
	host, _ := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/v2/realm/manifests/v1" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+plain+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Location", "http://"+plain+"/x")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}), id, nil)
	c := newClient(t, Options{Hosts: hosts(HostConfig{TLS: TLSInsecure}), Credentials: logins(alice)})
	if _, err := target(t, c, host, "a").FetchBlob(t.Context(), layer(1).Descriptor); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("redirect: got %v, want a refusal", err)
	}
	if _, err := target(t, c, host, "realm").Resolve(t.Context(), "v1"); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("realm: got %v, want a refusal", err)
	}
	if seen.count("") != 0 {
		t.Errorf("the http server was asked %q", seen.lines())
	}
}

// The leave to skip checks, and the client's certificate, are for the registry alone.
func TestForeignHostsAreChecked(t *testing.T) {
	host, _ := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusOK)
	}), newIdentity(t, "storage"), nil)
	registry, _ := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "https://"+host+"/blob", http.StatusTemporaryRedirect)
	}), newIdentity(t, "registry"), nil)
	c := newClient(t, Options{Hosts: func(name string) HostConfig {
		if name == registry {
			return HostConfig{TLS: TLSInsecure}
		}
		return HostConfig{}
	}})
	_, err := target(t, c, registry, "a").FetchBlob(t.Context(), layer(1).Descriptor)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("got %v, want a certificate error", err)
	}
}

// A registry that led to another one used the client certificate that is for that one, so that it chose what was
// requested with the user's key. The authorities of the other one, and that its certificate is not checked, are facts
// about that host.
func TestClientCertificateIsNotLent(t *testing.T) {
	server, client := newIdentity(t, "server"), newIdentity(t, "client")
	dir := t.TempDir()
	ca := write(t, filepath.Join(dir, "ca.pem"), server.cert)
	cert, key := write(t, filepath.Join(dir, "c.pem"), client.cert), write(t, filepath.Join(dir, "k.pem"), client.key)
	blob := layer(1)
	answers := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob.Bytes) })
	for _, test := range []struct {
		name   string
		other  HostConfig
		client bool // the other host requires a certificate
		works  bool
	}{
		{"client certificate", HostConfig{CA: ca, Cert: cert, Key: key}, true, false},
		{"authority", HostConfig{CA: ca, Cert: cert, Key: key}, false, true},
		{"insecure", HostConfig{TLS: TLSInsecure}, false, true},
		{"nothing", HostConfig{MaxConnections: 5}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var wanted *identity
			if test.client {
				wanted = &client
			}
			other, seen := serveTLS(t, answers, server, wanted)
			registry, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, "https://"+other+"/blob", http.StatusTemporaryRedirect)
			}))
			c := newClient(t, Options{Hosts: func(name string) HostConfig {
				if name == other {
					return test.other
				}
				return HostConfig{}
			}})
			fetch := func(host string) error {
				body, err := target(t, c, host, "a").FetchBlob(t.Context(), blob.Descriptor)
				if err == nil {
					_ = body.Close()
				}
				return err
			}
			if err := fetch(registry); (err == nil) != test.works {
				t.Errorf("got %v, want success %v", err, test.works)
			}
			for _, req := range seen.all("") {
				if len(req.TLS.PeerCertificates) > 0 {
					t.Errorf("%s has the client certificate", req.URL)
				}
			}
			if test.client {
				if err := fetch(other); err != nil {
					t.Errorf("its own requests: %v", err)
				}
			}
		})
	}
}

// A registry that redirects each request to another host made the client keep a counter and the limiter's state for
// each of them.
func TestManyForeignHosts(t *testing.T) {
	var count atomic.Int64
	server, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Host == "registry.example" {
			http.Redirect(w, req, fmt.Sprintf("http://s%d.example/", count.Add(1)), http.StatusTemporaryRedirect)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	c := newClient(t, Options{Hosts: hosts(HostConfig{TLS: TLSDisabled})})
	elsewhere(c, server)
	r := target(t, c, "registry.example", "a")
	for range 100 {
		if _, err := r.FetchBlob(t.Context(), layer(1).Descriptor); answer.Status(err) != http.StatusNotFound {
			t.Fatal(err)
		}
	}
	requests := c.Requests()
	if got := requests["other hosts of registry.example"]; len(requests) != 66 || requests["registry.example"] != 100 || got != 36 {
		t.Errorf("got %d hosts and %d requests to the others, want 66 and 36", len(requests), got)
	}
}

func requireStall(t *testing.T, err error, phase string) {
	t.Helper()
	stalled, ok := errors.AsType[*StallError](err)
	if !ok || stalled.Phase != phase || !retry.Retryable(err) {
		t.Errorf("got %v, want a stall while waiting %s, retryable", err, phase)
	}
}

func TestStalls(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	blob := layer(64 << 20)
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.Method {
		case http.MethodGet:
			_, _ = w.Write(make([]byte, 100_000))
			w.(http.Flusher).Flush()
		case http.MethodPost:
			w.Header().Set("Location", "/session")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		<-stop
	}))
	// Only what never comes has little time: the rest of the answers may take theirs.
	hasty := newClient(t, Options{})
	hasty.wire.Limits.Answer = 50 * time.Millisecond
	_, err := target(t, hasty, host, "a").Resolve(t.Context(), "v1")
	requireStall(t, err, wire.AwaitingAnswer)
	if failure, ok := errors.AsType[*ConnectionError](err); !ok || !failure.Timeout() || failure.Registry != host {
		t.Errorf("got %v, want a connection error that is a timeout", err)
	}
	c := newClient(t, Options{})
	c.wire.Limits.Stall = 50 * time.Millisecond
	r := target(t, c, host, "a")
	body, err := r.FetchBlob(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, body)
	requireStall(t, err, "for data")
	if want := "read blob " + blob.Descriptor.Digest.String() + ": timed out "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s at its start", err, want)
	}
	_ = body.Close()
	err = startUpload(t, r, blob).Commit(t.Context(), blob.Stream())
	requireStall(t, err, "to send data")
}

// A proxy that takes a connection and says nothing is no reason to wait for ever.
func TestSilentProxy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := newClient(t, Options{Hosts: hosts(HostConfig{Proxy: "socks5://" + listener.Addr().String()})})
	c.wire.Limits.Connect = 50 * time.Millisecond
	_, err = target(t, c, "socks.invalid", "a").Resolve(t.Context(), "v1")
	requireStall(t, err, "for a connection")
}

// The clock stands while we wait for our own side: a slow source, a slow reader.
func TestNoStallOfOurOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := bubbled(t, newRegistry(t))
		blob := layer(200_000)
		pause := readerFunc(func([]byte) (int, error) { time.Sleep(time.Hour); return 0, io.EOF })
		slow := io.MultiReader(bytes.NewReader(blob.Bytes[:100_000]), pause, bytes.NewReader(blob.Bytes[100_000:]))
		if err := startUpload(t, r, blob).Commit(t.Context(), content.NewStream(slow, blob.Descriptor)); err != nil {
			t.Errorf("a slow source: %v", err)
		}
		body, err := r.FetchBlob(t.Context(), blob.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n, err := io.Copy(io.Discard, body); err != nil || n != 199_000 {
			t.Errorf("a slow reader: got %d bytes and %v", n, err)
		}
	})
}

// hangUp is a server that closes kept connections when their second request comes, before
// a byte of an answer.
func hangUp(t *testing.T, answer http.Handler) (string, *atomic.Int64) {
	t.Helper()
	type counter struct{}
	var closed atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if n := req.Context().Value(counter{}).(*atomic.Int64); n.Add(1) == 2 {
			closed.Add(1)
			panic(http.ErrAbortHandler)
		}
		answer.ServeHTTP(w, req)
	}))
	server.Config.ErrorLog = quietLog()
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, counter{}, new(atomic.Int64))
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), &closed
}

// A POST or PUT on a connection that the server has just closed is repeated at once.
func TestReplayOnAClosedConnection(t *testing.T) {
	host, closed := hangUp(t, newRegistry(t))
	r := target(t, newClient(t, Options{}), host, "a")
	push(t, r, 1000) // POST; PUT hung up, and again
	push(t, r, 2000) // POST hung up, ...
	image := image()
	image.Push(t, r, "v1")
	if closed.Load() < 2 {
		t.Errorf("%d connections were closed under us: the test proves nothing", closed.Load())
	}
}

// A body that cannot be had again is an error that another attempt may mend.
func TestNoReplayOfALongBody(t *testing.T) {
	puts := atomic.Int64{}
	registry := newRegistry(t)
	host, _ := hangUp(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut {
			puts.Add(1)
		}
		registry.ServeHTTP(w, req)
	}))
	blob := layer(8 << 20)
	err := startUpload(t, target(t, newClient(t, Options{}), host, "a"), blob).Commit(t.Context(), blob.Stream())
	if err == nil || !retry.Retryable(err) || puts.Load() != 0 {
		t.Errorf("got %v after %d whole PUTs, want a retryable error", err, puts.Load())
	}
}

func TestDebugLogHasNoSecrets(t *testing.T) {
	var out logged
	server := &tokenAuth{registry: newRegistry(t), username: "alice", password: "correct horse"}
	host, _ := serve(t, server)
	r := target(t, newClient(t, Options{Credentials: logins(alice), Logger: debugLog(&out)}), host, "a")
	image().Push(t, r, "v1")
	requireNoSecret(t, out.String(), "correct horse", "state=ey")
	// The attempt to speak TLS has a line of its own, and no answer.
	if lines := strings.Count(out.String(), "status="); int64(lines) != r.host.client.Requests()[host] {
		t.Errorf("%d lines for %v requests", lines, r.host.client.Requests())
	}
}
