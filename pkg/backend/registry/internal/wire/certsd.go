package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

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

// addCertsDir reads the certificates for one registry: *.crt are authorities, each *.cert
// is a client's with the *.key of the same name. A directory that is missing or closed to
// us has none. A dangling symbolic link is left out, as docker does, with a warning.
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
			err = fmt.Errorf("%s has no %s.key beside it; an authority's name ends in .crt", file, filepath.Base(stem))
		case extension == ".cert":
			err = addClientCert(secure, file, stem+".key")
		case extension == ".key" && !has[filepath.Base(stem)+".cert"]:
			err = fmt.Errorf("%s has no %s.cert beside it", file, filepath.Base(stem))
		}
		if err != nil {
			return warnings, err
		}
	}
	return warnings, nil
}
