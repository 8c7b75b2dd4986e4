package main

import (
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry"
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

// connectionsOf is how many requests the configuration allows to be in flight to a registry.
func connectionsOf(settings *config.Config) func(name string) int {
	return numberOf(settings, func(r config.Registry) int { return r.MaxConnections })
}

// reservesOf is how many pulls the configuration leaves to other clients.
func reservesOf(settings *config.Config) func(name string) int {
	return numberOf(settings, func(r config.Registry) int { return r.PullReserve })
}

// numberOf is a setting of registries by their names. The largest counts if a registry has several hosts.
func numberOf(settings *config.Config, setting func(config.Registry) int) func(name string) int {
	numbers := map[string]int{}
	for _, r := range settings.Registries {
		if name := registry.Name(r.Host); r.Path == "" {
			numbers[name] = max(numbers[name], setting(r))
		}
	}
	return func(name string) int { return numbers[name] }
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
