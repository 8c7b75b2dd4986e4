package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
)

// choosing has the flags of sync, diff and explain that choose from a configuration.
type choosing struct {
	app           *app
	platforms     platformFlags
	foreignLayers bool
	only          []string
	recheck       bool
}

func (c *choosing) bind(flags *pflag.FlagSet) {
	flags.StringArrayVar(&c.only, "only", nil, "process only the entry `NAME`; may be repeated")
	flags.BoolVar(&c.foreignLayers, "foreign-layers", false,
		"also copy foreign (non-distributable) layers, from their URLs if the source lacks them")
	flags.BoolVar(&c.recheck, "recheck", false,
		"also check what is normally skipped: immutable tags that were copied before, tags outside the sample of verify: sampled, "+
			"signatures of single platforms, and referrers that were refused")
	c.platforms.bind(flags, "as configured")
}

// selection returns what is chosen from the files of --config. It prints their warnings. usage is how the command is written.
func (c *choosing) selection(usage string) (*mirror.Selection, error) {
	settings, err := c.settings(usage)
	if err != nil {
		return nil, err
	}
	c.warn(settings)
	return c.of(settings)
}

// warn prints the warnings of a configuration.
func (c *choosing) warn(settings *config.Config) {
	for _, text := range settings.Warnings {
		c.app.warn("%s", text)
	}
}

// of returns the selection from a configuration.
func (c *choosing) of(settings *config.Config) (*mirror.Selection, error) {
	sources, err := c.app.opener()
	if err != nil {
		return nil, err
	}
	return &mirror.Selection{
		Config: settings, Sources: sources, Catalog: c.app.reached, ForeignLayers: c.foreignLayers, Created: c.app.memory(true),
	}, nil
}

// settings returns the chosen entries of the configuration.
func (c *choosing) settings(usage string) (*config.Config, error) {
	if len(c.app.flags.config) == 0 {
		return nil, errNoConfig(usage)
	}
	settings, err := c.app.configuration()
	if err != nil {
		return nil, err
	}
	if len(settings.Entries) == 0 {
		return nil, usagef("%s: no `sync` entries, so there is nothing to copy", strings.Join(c.app.flags.config, ", "))
	}
	if len(c.only) > 0 {
		only, missing := settings.Only(c.only)
		if len(missing) > 0 {
			return nil, usagef("--only: there is no entry %q; the entries are: %s", missing[0], strings.Join(settings.EntryNames(), ", "))
		}
		settings = only
	}
	return c.withPlatforms(settings)
}

// errNoConfig is the error of a command that needs a configuration file. The default configuration has no entries.
func errNoConfig(usage string) error { return usagef("no configuration file: use regsync %s", usage) }

// withPlatforms replaces the platforms of the configuration by those of the command line, if there are any.
func (c *choosing) withPlatforms(settings *config.Config) (*config.Config, error) {
	platforms, err := c.platforms.selected(nil)
	if err != nil || platforms == nil && !c.platforms.all {
		return settings, err
	}
	changed := *settings
	changed.Entries = make([]config.Entry, len(settings.Entries))
	for i, e := range settings.Entries {
		e.Platforms = platforms
		changed.Entries[i] = e
	}
	return &changed, nil
}
