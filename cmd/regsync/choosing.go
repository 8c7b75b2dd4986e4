package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/mirror/config"
)

// choosing is what sync and diff do of a configuration, as their flags say.
type choosing struct {
	app           *app
	platforms     platformFlags
	foreignLayers bool
	only          []string
	recheck       bool
}

func (c *choosing) bind(flags *pflag.FlagSet) {
	flags.StringArrayVar(&c.only, "only", nil, "`NAME` of an entry to do alone; may be repeated")
	flags.BoolVar(&c.foreignLayers, "foreign-layers", false, "also copy foreign (non-distributable) layers, from their URLs if the source lacks them")
	flags.BoolVar(&c.recheck, "recheck", false, "check everything again: immutable tags copied before, tags that verify: sampled leaves out, signatures of single platforms, referrers that were refused")
	c.platforms.bind(flags, "as configured")
}

// selection is what is chosen of the files of --config, which command wants. It prints their warnings.
func (c *choosing) selection(command string) (*mirror.Selection, error) {
	settings, err := c.settings(command)
	if err != nil {
		return nil, err
	}
	return c.of(settings)
}

// of is the selection of a configuration.
func (c *choosing) of(settings *config.Config) (*mirror.Selection, error) {
	sources, err := c.app.opener()
	if err != nil {
		return nil, err
	}
	return &mirror.Selection{
		Config: settings, Sources: sources, Catalog: c.app.reached, ForeignLayers: c.foreignLayers,
	}, nil
}

// settings is the configuration, as far as it is wanted. It prints its warnings.
func (c *choosing) settings(command string) (*config.Config, error) {
	if len(c.app.flags.config) == 0 {
		return nil, usagef("which configuration? regsync %s -c FILE", command)
	}
	settings, err := c.app.configuration()
	if err != nil {
		return nil, err
	}
	if len(settings.Entries) == 0 {
		return nil, usagef("%s: there is no `sync`, so nothing is to be copied", strings.Join(c.app.flags.config, ", "))
	}
	if len(c.only) > 0 {
		if settings, err = onlyEntries(settings, c.only); err != nil {
			return nil, err
		}
	}
	for _, text := range settings.Warnings {
		c.app.warn("%s", text)
	}
	return c.withPlatforms(settings)
}

func onlyEntries(settings *config.Config, names []string) (*config.Config, error) {
	only, missing := settings.Only(names)
	if len(missing) == 0 {
		return only, nil
	}
	return nil, usagef("--only: no entry is called %q; there are: %s", missing[0], strings.Join(settings.EntryNames(), ", "))
}

// withPlatforms puts the platforms of the command line above those of the configuration.
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
