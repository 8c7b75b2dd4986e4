package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// arguments checks that a command gets at least least and at most most arguments, as many
// as one likes if most is negative.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageWithHint(errors.New("too few arguments"), "usage: "+cmd.UseLine())
		case most >= 0 && len(args) > most:
			return usageWithHint(fmt.Errorf("unexpected argument %q", args[most]), "usage: "+cmd.UseLine())
		}
		return nil
	}
}

// configFiles takes the arguments of a command as files of --config.
func configFiles(cmd *cobra.Command, args []string) error {
	for _, file := range args {
		if err := cmd.Flags().Set("config", file); err != nil {
			return err
		}
	}
	return nil
}

func parseReference(s string) (reference.Reference, error) {
	ref, err := reference.Parse(s)
	if err != nil {
		return ref, &usageError{err}
	}
	return ref, checkTransport(ref)
}

// checkTransport refuses what references can name and regsync cannot open.
func checkTransport(ref reference.Reference) error {
	switch ref.Transport {
	case reference.Registry, reference.Layout, reference.Store:
		return nil
	default:
		return usagef("%s: the transport %s: is not supported; use a registry, oci:DIR or store:NAME", ref, ref.Transport)
	}
}

func parseAll(texts []string, parse func(string) (reference.Reference, error)) ([]reference.Reference, error) {
	refs := make([]reference.Reference, len(texts))
	for i, text := range texts {
		ref, err := parse(text)
		if err != nil {
			return nil, err
		}
		refs[i] = ref
	}
	return refs, nil
}

func parseRepository(s string) (reference.Reference, error) {
	ref, err := reference.ParseRepository(s)
	if err != nil {
		return ref, &usageError{err}
	}
	return ref, checkTransport(ref)
}

// parseAtRegistry reads what pull takes: an image at a registry.
func parseAtRegistry(s string) (reference.Reference, error) {
	ref, err := parseReference(s)
	if err == nil && !ref.IsRegistry() {
		return ref, usagef("%s names no registry: use regsync copy", s)
	}
	return ref, err
}

// parsePushed reads what push takes: a name in the local store, which is that at the registry too.
func parsePushed(s string) (reference.Reference, error) {
	if ref, err := parseReference(s); err == nil && ref.Transport == reference.Store {
		return ref.WithTransport(reference.Registry), nil
	}
	return parseAtRegistry(s)
}

// platformFlags are --platform and --all-platforms.
type platformFlags struct {
	names string
	all   bool
}

func (p *platformFlags) bind(flags *pflag.FlagSet, fallback string) {
	flags.StringVar(&p.names, "platform", "", "`LIST` of platforms to copy from an index, as os/arch[/variant] or windows(VERSION)/arch, separated by commas (default: "+fallback+")")
	flags.BoolVar(&p.all, "all-platforms", false, "copy an index with all its platforms")
}

// selected is what to take of an index, fallback if nothing was said; nil is all.
func (p *platformFlags) selected(fallback []content.Platform) ([]content.Platform, error) {
	switch {
	case p.all && p.names != "":
		return nil, usagef("--platform and --all-platforms cannot be used together")
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
