package wire

import (
	"strings"

	"github.com/regsync/regsync/pkg/reference"
)

// hubAPI serves the API of Docker Hub.
const hubAPI = "registry-1.docker.io"

// apiAddress is the host that serves the API of a registry.
func apiAddress(name string) string {
	if name == reference.DockerHub {
		return hubAPI
	}
	return name
}

// Registry returns one name for all hosts of a registry: mounts, limits and knowledge apply to the registry, not to
// a host.
func Registry(host string) string {
	host = strings.TrimSuffix(reference.CanonicalHost(host), ":443")
	if strings.HasSuffix(host, ".aliyuncs.com") {
		return publicACR(host)
	}
	return host
}

// publicACR turns the VPC and internal hosts of an Aliyun registry into its public one:
// registry-vpc.REGION.aliyuncs.com, crpi-ID-vpc.REGION.personal.cr.aliyuncs.com,
// NAME-registry-vpc.REGION.cr.aliyuncs.com.
func publicACR(host string) string {
	first, domain, _ := strings.Cut(host, ".")
	first = strings.TrimSuffix(strings.TrimSuffix(first, "-vpc"), "-internal")
	personal := strings.HasPrefix(first, "crpi-") && strings.HasSuffix(domain, ".personal.cr.aliyuncs.com")
	enterprise := strings.HasSuffix(first, "-registry") && strings.HasSuffix(domain, ".cr.aliyuncs.com")
	if first == "registry" || personal || enterprise {
		return first + "." + domain
	}
	return host
}
