package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/cmd/regsync/internal/ui"
	"github.com/regsync/regsync/internal/state"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer"
)

// app is one command line: its output, and the parts that the command consists of. It is the one place that creates
// concrete parts, each when it is first needed.
type app struct {
	output

	loaded     *config.Config
	defaulted  string // the default configuration, if it is used
	stdinSum   string // of the configuration that came from there
	traits     map[*cobra.Command]traits
	command    traits // those of the command that runs
	completing bool   // the words of a command line, for a shell
	limiter    *limit.Limiter
	limits     atomic.Pointer[registryLimits] // that the limiter enforces
	reached    *registry.Client
	opened     *backend.Opener
	remembered *state.Memory
	uploads    *state.Uploads // nil until they are needed
	contacted  sync.Map       // the hosts whose settings the client has read: string to bool
}

func newApp(env Environment) *app {
	return &app{output: output{Environment: env}, traits: map[*cobra.Command]traits{}}
}

// close ends what the run has opened.
func (a *app) close() error {
	if a.reached != nil {
		a.reached.Close()
	}
	if a.uploads != nil {
		a.uploads.Close()
	}
	if a.remembered != nil {
		a.remembered.Close()
	}
	if a.opened != nil {
		return a.opened.Close()
	}
	return nil
}

// configuration returns what the files of --config say or, without any, what the default configuration says of registries;
// empty if there is none.
func (a *app) configuration() (*config.Config, error) {
	if a.loaded != nil {
		return a.loaded, nil
	}
	read := sha256.New()
	files, options := a.flags.config, config.Options{Env: a.LookupEnv, Stdin: io.TeeReader(a.Stdin, read)}
	if len(files) == 0 {
		a.defaulted = a.defaultConfig()
		if a.defaulted != "" {
			files, options.RegistriesOnly = []string{a.defaulted}, true
		}
	}
	loaded := &config.Config{}
	if len(files) > 0 {
		var err error
		if loaded, err = config.Load(files, options); err != nil {
			return nil, &usageError{err}
		}
		a.stdinSum = hex.EncodeToString(read.Sum(nil))
	}
	a.loaded, a.user.settings = loaded, loaded
	return loaded, nil
}

// defaultConfig returns the default configuration; empty if there is none, or if the variable of --config is set, which is
// empty if no flag was set from it.
func (a *app) defaultConfig() string {
	path := a.defaultConfigPath()
	if _, set := a.LookupEnv(variable("config")); set || path == "" {
		return ""
	}
	// HOME=/dev/null, which services set, makes the path one below a file.
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return ""
	}
	return path
}

// reloadConfiguration reads the files of --config again, before anything was made of them. What came from standard input
// stays.
func (a *app) reloadConfiguration() error {
	if a.reached != nil || slices.Contains(a.flags.config, "-") {
		return nil
	}
	a.loaded = nil
	_, err := a.configuration()
	return err
}

// client returns the client for registries, with the settings of the configuration.
func (a *app) client() (*registry.Client, error) {
	if a.reached != nil {
		return a.reached, nil
	}
	settings, err := a.configuration()
	if err != nil {
		return nil, err
	}
	if a.defaulted != "" && !a.completing {
		a.useDefault()
	}
	limits, retries := limit.Options{
		MaxConnections: func(registry string) int { return a.limits.Load().connections[registry] },
		PullReserve:    func(registry string) int { return a.limits.Load().reserves[registry] },
		Rates:          func(registry string) limit.Rates { return a.limits.Load().rates[registry] },
		Changed:        a.registryChanged,
		Paused:         a.registryPaused,
	}, retry.Policy{}
	a.limits.Store(newRegistryLimits(settings))
	const interactive = 20 * time.Second // how long a user waits for a command without output
	switch {
	case a.command.unattended:
	case a.command.patient:
		limits.GiveUpNew = interactive
	default:
		retries.Attempts, retries.Span = 5, interactive/2
		limits.GiveUp, limits.GiveUpNew = interactive, retries.Span
	}
	logins := auth.FromEnvironment
	if a.completing {
		logins = auth.FromEnvironmentOnce
	}
	a.user.files = logins(a.getenv)
	a.limiter = limit.New(limits)
	settingsOf := hostsOf(settings, &a.flags)
	a.reached = registry.New(registry.Options{
		Hosts: func(host string) registry.HostConfig {
			a.contacted.Store(host, true)
			return settingsOf(host)
		},
		Credentials: auth.Chain(auth.Static(credentialsOf(settings)), a.user.files),
		Limiter:     a.limiter,
		Abilities:   abilities{a},
		Retry:       retries,
		UserAgent:   "regsync/" + buildVersion().Version,
		Logger:      a.logger(),
		Warn:        func(err error) { a.warn("%v", err) },
	})
	return a.reached, nil
}

// warnUnusedHosts names the hosts of --plain-http and --insecure that a command which failed has not used: mistyped ones may
// be why. A command that used no registry at all did not fail because of them.
func (a *app) warnUnusedHosts(err error) {
	used := false
	a.contacted.Range(func(any, any) bool { used = true; return false })
	if code := exitCode(err); !used || code != exitFailed && code != exitPartly && code != exitDenied {
		return
	}
	for _, of := range []struct {
		flag  string
		hosts []string
	}{{"plain-http", a.flags.plainHTTP}, {"insecure", a.flags.insecure}} {
		for _, host := range of.hosts {
			if _, ok := a.contacted.Load(host); !ok {
				a.warn("--%s %s: no request went to this host", of.flag, host)
			}
		}
	}
}

// useDefault names the default configuration, and prints its warnings: the commands that use it print none.
func (a *app) useDefault() {
	if a.flags.verbose {
		fmt.Fprintf(conversation{&a.output}, "regsync: using the default configuration %s\n", safe.Clean(a.defaulted))
	}
	for _, text := range a.loaded.Warnings {
		a.warn("%s", text)
	}
}

// registryChanged says why a command waits, also under --quiet if it may wait for minutes.
func (a *app) registryChanged(registry string, down *limit.DownError) {
	warn := a.warn
	if a.command.patient {
		warn = a.insist
	}
	switch {
	case a.completing:
	case down == nil:
		warn("%s is available again", registry)
	default:
		warn("%s: %s; retrying for up to %s", registry, ui.Cause(down.Err), config.FormatDuration(down.GiveUp))
	}
}

// registryPaused shows why and for how long a command waits.
func (a *app) registryPaused(registry string, pause *limit.Pause) {
	p := ui.Pause{Registry: registry}
	if pause != nil {
		p.Until, p.Status, p.Asked = pause.Until, pause.Status, pause.Asked
	}
	shown := a.showing.Load()
	switch {
	case shown != nil && (shown.Paused(p) || a.events()), a.flags.quiet: // no event follows the last one
	case a.events():
		a.aside().Paused(p)
	case pause != nil:
		fmt.Fprintln(conversation{&a.output}, p.Line(time.Now()))
	}
}

// opener opens the places that references name.
func (a *app) opener() (*backend.Opener, error) {
	if a.opened != nil {
		return a.opened, nil
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	a.opened = backend.New(backend.Options{Registry: client, Store: a.storeDir()})
	return a.opened, nil
}

// openSource opens the place of ref to read from it.
func (a *app) openSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	opener, err := a.opener()
	if err != nil {
		return nil, err
	}
	source, err := opener.OpenSource(ctx, ref)
	if err != nil {
		return nil, about(ref, err)
	}
	return source, nil
}

// store is the local store.
func (a *app) store() (*store.Store, error) {
	opener, err := a.opener()
	if err != nil {
		return nil, err
	}
	return opener.Store()
}

// mountHints returns the repositories of a registry that may have a blob. The local store knows where its images were seen.
type mountHints func(registry string, blob digest.Digest) []string

// engineOptions are the options of one run of the engine; see [transfer.Options]. The zero value works.
type engineOptions struct {
	observe           func(transfer.Event)
	hints             mountHints // before those of earlier runs
	attachedTags      func(content.Location) (tags []string, listed bool)
	draining          <-chan struct{}
	recheck, failFast bool
}

// engine moves images.
func (a *app) engine(o engineOptions) (*transfer.Engine, error) {
	opener, err := a.opener()
	if err != nil {
		return nil, err
	}
	memory := a.memory(false)
	hints := mountHints(memory.Locations)
	if o.hints != nil {
		hints = func(registry string, blob digest.Digest) []string {
			return append(o.hints(registry, blob), memory.Locations(registry, blob)...)
		}
	}
	return transfer.New(opener, transfer.Options{
		Observe: locating(memory, o.observe), Limiter: a.limiter, MountHints: hints, SpoolDir: a.spoolDir(),
		Selections: memory, Children: memory, Copies: memory, Seen: memory, Abilities: abilities{a}, Uploads: a.uploadMemory(),
		AttachedTags: o.attachedTags, Draining: o.draining, Recheck: o.recheck, FailFast: o.failFast,
	}), nil
}
