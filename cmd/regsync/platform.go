package main

import (
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/pkg/content"
)

// platformFlags are --platform and --all-platforms.
type platformFlags struct {
	names string
	all   bool
}

func (p *platformFlags) bind(flags *pflag.FlagSet, fallback string) {
	flags.StringVar(&p.names, "platform", "", "platforms to take of an index, a `LIST` of os/arch[/variant] with commas, or windows(VERSION)/arch; "+fallback+" if not given")
	flags.BoolVar(&p.all, "all-platforms", false, "take an index as it is, with all its platforms")
}

// selected is what to take of an index, fallback if nothing was said; nil is all.
func (p *platformFlags) selected(fallback []content.Platform) ([]content.Platform, error) {
	switch {
	case p.all && p.names != "":
		return nil, usagef("--platform and --all-platforms exclude each other")
	case p.all:
		return nil, nil
	case p.names == "":
		return fallback, nil
	}
	platforms, err := content.ParsePlatforms(p.names)
	if err != nil {
		return nil, &usageError{err}
	}
	return platforms, nil
}
