package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// hintFor is the next step, where we know one.
func hintFor(err error) string {
	host := registryOf(err)
	for _, hint := range []func(error, string) string{
		usageHint, accessHint, certificateHint, networkHint, diskHint, notFoundHint,
	} {
		if text := hint(err, host); text != "" {
			return text
		}
	}
	return ""
}

// subject is the image that an error is about, or the zero value.
func subject(err error) reference.Reference {
	if side, ok := errors.AsType[*transfer.Error](err); ok {
		return side.Reference
	}
	if image, ok := errors.AsType[*imageError](err); ok {
		return image.ref
	}
	return reference.Reference{}
}

// registryOf is the registry that an error speaks of, or empty.
func registryOf(err error) string {
	if ref := subject(err); ref.IsRegistry() {
		return ref.Registry
	}
	if login, ok := errors.AsType[*loginError](err); ok {
		return login.host
	}
	return ""
}

func usageHint(err error, _ string) string {
	if unknown, ok := errors.AsType[*unknownCommandError](err); ok {
		if len(unknown.similar) > 0 {
			return "did you mean: regsync " + strings.Join(unknown.similar, ", regsync ") + "?"
		}
		return "regsync --help lists the commands"
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return "--help shows the usage, with examples"
	}
	return ""
}

func accessHint(err error, host string) string {
	_, loggingIn := errors.AsType[*loginError](err)
	switch {
	case loggingIn && denied(err):
		return "nothing was stored; where the account has two-factor login, the password is an access token"
	case loggingIn:
		return ""
	case errors.Is(err, content.ErrUnauthorized):
		return strings.TrimSpace("log in first: regsync login " + host)
	case errors.Is(err, content.ErrDenied):
		return "the account may not do this, or the repository or its namespace does not exist; " +
			"another account: regsync login " + orElse(host, "HOST")
	}
	return ""
}

func certificateHint(err error, host string) string {
	host = orElse(host, "HOST")
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("if the certificate is right, name its CA: registries: {%s: {ca: FILE}} in the "+
			"configuration, or /etc/docker/certs.d/%s/ca.crt", host, host)
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another host name: use one of its names"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Sprintf("%s speaks no TLS; where that is meant: registries: {%q: {tls: disabled}} in the configuration", host, host)
	}
	return ""
}

func networkHint(err error, host string) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return fmt.Sprintf("there is no host %s: is the name right? a proxy can be set as registries: {%s: {proxy: URL}}",
			dns.Name, orElse(host, dns.Name))
	}
	timeout, ok := errors.AsType[net.Error](err)
	if !(ok && timeout.Timeout()) && !errors.Is(err, context.DeadlineExceeded) {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return "nothing listens there: is the registry running, and is the port right?"
		}
		return ""
	}
	if host == reference.DockerHub {
		return "Docker Hub cannot be reached from here; set registries: {docker.io: {proxy: URL}} or " +
			"{docker.io: {mirrors: [URL]}} in the configuration, or HTTPS_PROXY"
	}
	return "the registry did not answer in time; if it is behind a proxy: registries: {" + orElse(host, "HOST") + ": {proxy: URL}}"
}

func diskHint(err error, _ string) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free space in the local store with regsync rmi IMAGE, or put it elsewhere with --store DIR"
	case errors.Is(err, syscall.EROFS):
		return "the directory is read-only; another place: --store DIR"
	}
	return ""
}

func notFoundHint(err error, _ string) string {
	if local, ok := errors.AsType[*notInStoreError](err); ok {
		return local.hint
	}
	if !errors.Is(err, content.ErrNotFound) {
		return ""
	}
	switch ref := subject(err); ref.Transport {
	case reference.Registry, reference.Layout:
		return "the tags it has: regsync tags " + ref.FamiliarName()
	case reference.Store:
		return storeHint
	default:
		return ""
	}
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
