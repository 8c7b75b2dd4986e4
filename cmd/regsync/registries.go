package main

import (
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/config"
)

// hostsOf is how the configuration says that registries are reached.
func hostsOf(settings *config.Config) func(host string) registry.HostConfig {
	hosts := map[string]registry.HostConfig{}
	for _, r := range settings.Registries {
		if r.Path != "" {
			continue
		}
		hosts[r.Host] = registry.HostConfig{
			TLS: registry.TLSMode(r.TLS), CA: r.CA, Cert: r.Cert, Key: r.Key,
			Proxy: string(r.Proxy), Mirrors: r.Mirrors, MaxConnections: r.MaxConnections,
		}
	}
	return func(host string) registry.HostConfig { return hosts[host] }
}

// registryLimits holds the limits in a configuration, by registry.
type registryLimits struct {
	connections, reserves map[string]int
	rates                 map[string]limit.Rates
}

// newRegistryLimits reads the limits in a configuration. If a registry has several hosts, the largest number counts, and the last rate.
func newRegistryLimits(settings *config.Config) *registryLimits {
	of := &registryLimits{map[string]int{}, map[string]int{}, map[string]limit.Rates{}}
	for _, r := range settings.Registries {
		if r.Path == "" {
			name := registry.Name(r.Host)
			of.connections[name] = max(of.connections[name], r.MaxConnections)
			of.reserves[name] = max(of.reserves[name], r.PullReserve)
			rates := of.rates[name]
			if r.RequestsPerSecond > 0 {
				rates.RequestsPerSecond = r.RequestsPerSecond
			}
			if r.Bandwidth.Bounded() {
				rates.Bandwidth = r.Bandwidth
			}
			of.rates[name] = rates
		}
	}
	return of
}

// credentialsOf are those that the configuration holds.
func credentialsOf(settings *config.Config) map[string]auth.Credential {
	credentials := map[string]auth.Credential{}
	for _, r := range settings.Registries {
		if r.Username != "" {
			credentials[r.Name()] = auth.Credential{Username: r.Username, Password: auth.Secret(r.Password)}
		}
	}
	return credentials
}
