package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/content"
)

// TLSMode says whether the client uses TLS for a registry.
type TLSMode string

// The modes, as package registry exports them.
const (
	TLSEnabled  TLSMode = "enabled"
	TLSDisabled TLSMode = "disabled"
	TLSInsecure TLSMode = "insecure" // certificates are not checked
)

// ownTLS returns the TLS configuration for the registry's own host: with the system's authorities, those of the settings
// and those of the certs.d directories.
func ownTLS(config Config, name string, certsDirs []string) (secure *tls.Config, warnings []error, err error) {
	switch config.TLS {
	case "", TLSEnabled, TLSDisabled, TLSInsecure:
	default:
		return nil, nil, fmt.Errorf("tls %q: %w: want enabled, disabled or insecure", config.TLS, content.ErrInvalid)
	}
	secure = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: config.TLS == TLSInsecure, //nolint:gosec // that is what the user asks for by name
	}
	if (config.Cert == "") != (config.Key == "") {
		return nil, nil, fmt.Errorf("%w: a client certificate needs both cert and key", content.ErrInvalid)
	}
	if config.Cert != "" {
		if err := addClientCert(secure, config.Cert, config.Key); err != nil {
			return nil, nil, err
		}
	}
	if config.CA != "" {
		if err := addAuthority(secure, config.CA); err != nil {
			return nil, nil, err
		}
	}
	for _, dir := range certsDirs {
		more, err := addCertsDir(secure, dir, name)
		if err != nil {
			return nil, nil, err
		}
		warnings = append(warnings, more...)
	}
	return secure, warnings, nil
}

// foreignTLS is the TLS configuration for hosts that a registry redirects to.
func foreignTLS(own *tls.Config) *tls.Config {
	return &tls.Config{MinVersion: own.MinVersion, RootCAs: own.RootCAs}
}

func addClientCert(secure *tls.Config, cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("client certificate %s: %w", cert, err)
	}
	secure.Certificates = append(secure.Certificates, pair)
	return nil
}

func addAuthority(secure *tls.Config, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	if secure.RootCAs == nil {
		if secure.RootCAs, err = x509.SystemCertPool(); err != nil {
			secure.RootCAs = x509.NewCertPool()
		}
	}
	if !secure.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("certificate authority %s: no PEM certificate found", file)
	}
	return nil
}

// DefaultCertsDirs are where docker (also rootless) and podman look for the certificates of
// registries, in directories named HOST[:PORT] (docker docs, "Verify repository client with
// certificates"; containers-certs.d(5)).
func DefaultCertsDirs() []string {
	dirs := []string{"/etc/docker/certs.d", "/etc/containers/certs.d"}
	if config, err := os.UserConfigDir(); err == nil {
		dirs = append(dirs, filepath.Join(config, "docker", "certs.d"), filepath.Join(config, "containers", "certs.d"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".docker", "certs.d"))
	}
	return dirs
}

// addCertsDir reads the certificates for one registry: *.crt are authorities, each *.cert is a client's with the *.key of
// the same name. A directory that is missing or not readable has none. A dangling symbolic link is ignored with a warning,
// as docker does.
func addCertsDir(secure *tls.Config, parent, name string) (warnings []error, err error) {
	dir := filepath.Join(parent, name)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	entries = slices.DeleteFunc(entries, func(entry fs.DirEntry) bool {
		file := filepath.Join(dir, entry.Name())
		if _, err := os.Stat(file); entry.Type()&fs.ModeSymlink != 0 && errors.Is(err, fs.ErrNotExist) {
			warnings = append(warnings, fmt.Errorf("%s is a symbolic link to a file that does not exist: ignored", file))
			return true
		}
		has[entry.Name()] = true
		return false
	})
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name())
		stem, extension := strings.TrimSuffix(file, filepath.Ext(file)), filepath.Ext(file)
		switch {
		case extension == ".crt":
			err = addAuthority(secure, file)
		case extension == ".cert" && !has[filepath.Base(stem)+".key"]:
			err = fmt.Errorf("%s: no matching %s.key (CA certificates have the extension .crt)", file, filepath.Base(stem))
		case extension == ".cert":
			err = addClientCert(secure, file, stem+".key")
		case extension == ".key" && !has[filepath.Base(stem)+".cert"]:
			err = fmt.Errorf("%s: no matching %s.cert", file, filepath.Base(stem))
		}
		if err != nil {
			return warnings, err
		}
	}
	return warnings, nil
}
