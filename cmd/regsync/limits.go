package main

import (
	"context"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/transfer"
)

// hostsOf returns how registries are reached: as the configuration says, except where flags say whether TLS is used.
func hostsOf(settings *config.Config, flags *globals) func(host string) registry.HostConfig {
	configs := map[string]registry.HostConfig{}
	for _, r := range settings.Registries {
		if r.Path == "" {
			configs[r.Host] = registry.HostConfig{
				TLS: registry.TLSMode(r.TLS), CA: r.CA, Cert: r.Cert, Key: r.Key,
				Proxy: string(r.Proxy), Mirrors: r.Mirrors, MaxConnections: r.MaxConnections,
			}
		}
	}
	override := func(hosts []string, mode registry.TLSMode) {
		for _, host := range hosts {
			c := configs[host]
			c.TLS = mode
			configs[host] = c
		}
	}
	override(flags.plainHTTP, registry.TLSDisabled)
	override(flags.insecure, registry.TLSInsecure)
	for _, host := range flags.tlsOnly {
		if configs[host].TLS != registry.TLSInsecure { // which is TLS, too
			override([]string{host}, registry.TLSEnabled)
		}
	}
	return func(host string) registry.HostConfig { return configs[host] }
}

// registryLimits holds the limits in a configuration, by registry.
type registryLimits struct {
	connections, reserves map[string]int
	rates                 map[string]limit.Rates
}

// newRegistryLimits reads the limits in a configuration. If a registry has several hosts, the largest number counts,
// and the last rate.
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

// credentialsOf returns the credentials in the configuration.
func credentialsOf(settings *config.Config) map[string]auth.Credential {
	credentials := map[string]auth.Credential{}
	for _, r := range settings.Registries {
		if r.Username != "" {
			credentials[r.Name()] = auth.Credential{Username: r.Username, Password: r.Password}
		}
	}
	return credentials
}

// catchHangUps returns the channel of SIGHUP, from now until the process ends, if it means that the configuration is to
// be read again. At a terminal, it means that the terminal has gone; and a configuration from a pipe cannot be read
// again. Then the channel is nil.
func catchHangUps(a *app) <-chan os.Signal {
	for _, stream := range []any{a.Stdin, a.Stdout, a.Stderr} {
		if file, ok := stream.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			return nil
		}
	}
	for _, file := range a.flags.config {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return nil
		}
	}
	return a.Ending.ReloadOnHangUp()
}

// reloadLimits reloads the limits from the configuration at each signal, until stop is called. A configuration that is
// wrong changes nothing.
func reloadLimits(ctx context.Context, a *app, hangUps <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangUps:
			}
			settings, err := config.Load(a.flags.config, config.Options{Env: a.LookupEnv})
			if err != nil {
				a.insist("received SIGHUP; the limits are not changed: %v", err)
				continue
			}
			a.limits.Store(newRegistryLimits(settings))
			a.limiter.Reload()
			a.warn("received SIGHUP; reloaded only the limits of the configuration")
		}
	})
	return func() {
		cancel()
		listening.Wait()
	}
}

// limitedBy returns what a run waited for most: a limit, for which something waited half of the time, or else the side
// whose line kept streams busy, half a stream on average at least; empty if it was neither. A rate goes first: while
// requests wait for it, others wait for their slots.
func limitedBy(bounds []limit.Bound, counters *transfer.Counters, took time.Duration) string {
	isRate := func(b limit.Bound) bool { return b.Cause == limit.ByBandwidth || b.Cause == limit.ByRequests }
	var most limit.Bound
	for _, b := range bounds { // the longest wait is first
		if b.Waited >= took/2 && (most.Registry == "" || isRate(b) && !isRate(most)) {
			most = b
		}
	}
	if most.Registry != "" {
		return most.Registry + ": " + string(most.Cause)
	}
	reading, writing := time.Duration(counters.Reading.Load()), time.Duration(counters.Writing.Load())
	switch {
	case reading+writing < took/2:
		return ""
	case reading > writing:
		return "source bandwidth"
	default:
		return "destination bandwidth"
	}
}
