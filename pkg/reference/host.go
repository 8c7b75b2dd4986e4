package reference

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	dockerref "github.com/distribution/reference"
)

// DockerHub is the canonical name of Docker's registry, which has others.
const DockerHub = "docker.io"

// CanonicalHost returns a registry's host[:port] in lower case, and [DockerHub] for all names of Docker Hub. It checks
// nothing.
func CanonicalHost(host string) string {
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io":
		return DockerHub
	default:
		return host
	}
}

// ParseRegistry reads the registry of a login: host[:port], or host/path for the repositories below that path. As with
// docker login, a URL is read as its host, and https://index.docker.io/v1/ and the empty text as Docker Hub. Errors are of
// type [ParseError].
func ParseRegistry(s string) (host, path string, err error) {
	host, path, err = parseRegistry(s)
	if err != nil {
		return "", "", parseError(s, err)
	}
	return host, path, nil
}

func parseRegistry(s string) (host, path string, err error) {
	if s == "" {
		return DockerHub, "", nil
	}
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case !found:
		rest = s
	case !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http"):
		return "", "", fmt.Errorf("unsupported scheme %q; write only the host", scheme+"://")
	}
	rest = strings.TrimSuffix(rest, "/")
	host, path, _ = strings.Cut(rest, "/")
	if path == "v1" || path == "v2" {
		path = ""
	}
	switch {
	case host == "":
		return "", "", errors.New("the host is missing")
	case strings.Contains(host, "@"):
		return "", "", errors.New("a host cannot contain a user name; use --username")
	}
	if err := checkText(host); err != nil {
		return "", "", err
	}
	if host, err = checkHost(host); err != nil {
		return "", "", err
	}
	if path != "" {
		err = checkRepository(host, path)
	}
	return host, path, err
}

// splitHost splits a name as Docker does: the part before the first slash is a host if it has a dot or a port, or is
// localhost. A single word is never a host.
func splitHost(name string) (host, repository string) {
	first, rest, found := strings.Cut(name, "/")
	if found && (strings.ContainsAny(first, ".:[") || first == "localhost") {
		return first, rest
	}
	return "", name
}

// isBareHost reports whether a name without a slash means a registry: an address, or a host whose port was read as the
// tag. Docker takes any word for an image of Docker Hub, but "harbor.corp:5000" is hardly meant as one.
func isBareHost(name, tag string) bool {
	if strings.Contains(name, "/") {
		return false
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	isPort := tag != "" && strings.Trim(tag, "0123456789") == ""
	return isPort && (strings.Contains(name, ".") || name == "localhost")
}

func checkHost(host string) (string, error) {
	host = strings.ToLower(host)
	name, port, err := splitPort(host)
	if err != nil {
		return "", err
	}
	if err := checkPort(name, port); err != nil {
		return "", err
	}
	switch {
	case strings.HasPrefix(name, "["):
		address, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if err != nil || !address.Is6() || address.Zone() != "" {
			return "", fmt.Errorf("%s is not an IPv6 address", name)
		}
	default:
		if named, err := dockerref.WithName(host + "/x"); err != nil || dockerref.Domain(named) != host {
			return "", fmt.Errorf("%q is not a host name", name)
		}
	}
	return CanonicalHost(host), nil
}

// splitPort keeps the brackets of an IPv6 address; port is empty, or begins with its colon.
func splitPort(host string) (name, port string, err error) {
	if strings.HasPrefix(host, "[") {
		end := strings.Index(host, "]")
		if end < 0 {
			return "", "", errors.New("missing ] after the IPv6 address")
		}
		return host[:end+1], host[end+1:], nil
	}
	if strings.Count(host, ":") > 1 {
		return "", "", fmt.Errorf("%q has several colons; write an IPv6 address in brackets, such as [::1]:5000", host)
	}
	colon := strings.Index(host, ":")
	if colon < 0 {
		return host, "", nil
	}
	return host[:colon], host[colon:], nil
}

func checkPort(name, port string) error {
	if port == "" {
		return nil
	}
	if port == ":" {
		return fmt.Errorf("the port after %s: is missing", name)
	}
	if port[0] != ':' {
		return fmt.Errorf("unexpected %q after the bracket; only a port or a slash may follow", port)
	}
	if strings.Trim(port[1:], "0123456789") != "" {
		return fmt.Errorf("the port %q is not a number", port[1:])
	}
	if n, err := strconv.ParseUint(port[1:], 10, 16); err != nil || n == 0 {
		return fmt.Errorf("the port %s is not between 1 and 65535", port[1:])
	}
	return nil
}
