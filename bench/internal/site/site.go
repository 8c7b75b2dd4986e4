// Package site runs what a tool is measured against: a source registry and its destinations, each behind a link. Start with
// Open.
package site

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regsync/regsync/e2e/lab"

	"github.com/regsync/regsync/bench/internal/link"
)

// Options say what a site is like.
type Options struct {
	Registry     string   // the program
	Source       string   // the folder of its storage
	Destinations []string // folders that exist
	// TLS makes all registries speak TLS; nil is plain http.
	TLS *lab.Materials
	// RefuseMounts makes the destinations refuse mounts.
	RefuseMounts bool
}

// Site is a source and its destinations. Close ends it.
type Site struct {
	Source       *Server
	Destinations []*Server
}

// Open starts registries and links.
func Open(ctx context.Context, o Options) (*Site, error) {
	s := &Site{}
	source, err := start(ctx, o, o.Source, link.Options{Opaque: o.TLS != nil})
	if err != nil {
		return nil, err
	}
	s.Source = source
	for _, dir := range o.Destinations {
		destination, err := start(ctx, o, dir, link.Options{Opaque: o.TLS != nil, RefuseMounts: o.RefuseMounts})
		if err != nil {
			s.Close()
			return nil, err
		}
		s.Destinations = append(s.Destinations, destination)
	}
	return s, nil
}

// Set changes the conditions of all links, for new connections.
func (s *Site) Set(source, destinations link.Conditions) {
	s.Source.link.Set(source)
	for _, d := range s.Destinations {
		d.link.Set(destinations)
	}
}

// Hosts returns the addresses of the destinations.
func (s *Site) Hosts() []string {
	var hosts []string
	for _, d := range s.Destinations {
		hosts = append(hosts, d.Host())
	}
	return hosts
}

// Close ends the links and the registries.
func (s *Site) Close() {
	s.Source.close()
	for _, d := range s.Destinations {
		d.close()
	}
}

// Server is a registry behind a link.
type Server struct {
	link    *link.Link
	process *exec.Cmd
	log     *accessLog // nil if the link counts the requests itself
}

// Host returns the registry's address.
func (s *Server) Host() string { return s.link.Host }

// Take returns what has passed over the link since it was last called.
func (s *Server) Take() link.Counts {
	counts := s.link.Take()
	if s.log != nil {
		time.Sleep(200 * time.Millisecond) // a line is written after its answer
		counts.Requests = s.log.take()
	}
	return counts
}

// CPU is the processor time that the registry has used, with the resolution of the kernel's clock.
func (s *Server) CPU() (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.process.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The name of the program, in parentheses, may contain spaces (proc(5)): utime and stime are the 12th and 13th fields after it.
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("%q is not the format of proc(5)", text)
	}
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all architectures that Debian has
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}

func (s *Server) close() {
	s.link.Close()
	_ = s.process.Process.Kill()
	_ = s.process.Wait() // says that it was killed
}

// start starts a registry and its link. Another process may take the registry's port before the registry does: then it is
// started once more.
func start(ctx context.Context, o Options, dir string, options link.Options) (*Server, error) {
	s, err := startOnce(ctx, o, dir, options)
	if err != nil && ctx.Err() == nil {
		s, err = startOnce(ctx, o, dir, options)
	}
	return s, err
}

func startOnce(ctx context.Context, o Options, dir string, options link.Options) (s *Server, err error) {
	listener, err := lab.Listen(ctx) // before a port is chosen for the registry, so that it is another one
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = listener.Close()
		}
	}()
	port, err := lab.UnusedPort(ctx)
	if err != nil {
		return nil, err
	}
	host, scheme, client := "127.0.0.1:"+port, "http", http.DefaultClient
	var settings []string
	if o.TLS != nil {
		scheme = "https"
		if client, err = trusting(o.TLS.CA()); err != nil {
			return nil, err
		}
		settings = []string{
			"REGISTRY_HTTP_TLS_CERTIFICATE=" + filepath.Join(o.TLS.Dir, "cert.pem"),
			"REGISTRY_HTTP_TLS_KEY=" + filepath.Join(o.TLS.Dir, "key.pem"),
			"REGISTRY_LOG_ACCESSLOG_DISABLED=false",
		}
	}
	s = &Server{}
	if s.process, err = lab.RegistryCommand(ctx, o.Registry, host, dir, settings...); err != nil {
		return nil, err
	}
	if options.Opaque {
		s.log = &accessLog{requests: map[string]int{}}
		s.process.Stdout = s.log
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	err = lab.Healthy(ctx, client, scheme+"://"+host+"/v2/")
	client.CloseIdleConnections()
	if err != nil {
		_, _ = s.process.Process.Kill(), s.process.Wait()
		return nil, err
	}
	s.link = link.Start(listener, host, options)
	s.Take()
	return s, nil
}

func trusting(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}, nil
}

// accessLog counts the requests in the access log of a registry, whose lines have the combined format of Apache: the
// first text in quotes is the line of the request.
type accessLog struct {
	mu       sync.Mutex
	rest     []byte // a line that is not complete
	requests map[string]int
}

// Write reads a part of the log.
func (a *accessLog) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rest = append(a.rest, p...)
	for {
		line, rest, whole := bytes.Cut(a.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		a.rest = rest
		_, request, quoted := bytes.Cut(line, []byte(`"`))
		method, _, spaced := bytes.Cut(request, []byte(" /"))
		if quoted && spaced {
			a.requests[string(method)]++
		}
	}
}

func (a *accessLog) take() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.requests
	a.requests = map[string]int{}
	return taken
}
