// Package flagvalue has the values of flags that the standard ones of pflag do not cover: choices, durations and hosts.
package flagvalue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// Choice is a flag with a few allowed values; the first one is the default.
type Choice struct {
	value   *string
	allowed []string
}

var _ pflag.Value = (*Choice)(nil)

// NewChoice returns a flag that sets value to one of the allowed words.
func NewChoice(value *string, allowed ...string) *Choice {
	*value = allowed[0]
	return &Choice{value: value, allowed: allowed}
}

func (c *Choice) String() string { return *c.value }

// Type implements [pflag.Value].
func (c *Choice) Type() string { return "choice" }

// Allowed returns the allowed words.
func (c *Choice) Allowed() []string { return c.allowed }

// Set implements [pflag.Value].
func (c *Choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return &ChoiceError{c.allowed}
	}
	*c.value = s
	return nil
}

// ChoiceError is a value that is none of those that are allowed.
type ChoiceError struct{ Allowed []string }

func (e *ChoiceError) Error() string { return "must be one of " + strings.Join(e.Allowed, ", ") }

// Duration is a flag with a length of time, written as in a configuration. It may be zero.
type Duration struct{ value *time.Duration }

var _ pflag.Value = Duration{}

// NewDuration returns a flag that sets value, which is fallback by default.
func NewDuration(value *time.Duration, fallback time.Duration) Duration {
	*value = fallback
	return Duration{value}
}

// Type implements [pflag.Value].
func (d Duration) Type() string { return "duration" }

func (d Duration) String() string {
	if d.value == nil { // pflag compares the default with the zero value
		return ""
	}
	return config.FormatDuration(*d.value)
}

// Set implements [pflag.Value].
func (d Duration) Set(s string) error {
	value, err := config.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%w; durations are written 90s, 30m, 1h30m or 2d", err)
	}
	*d.value = value
	return nil
}

// Hosts is a flag with hosts of registries, separated by commas in one value or in several.
type Hosts struct{ names *[]string }

var _ pflag.Value = Hosts{}

// NewHosts returns a flag that adds hosts to names.
func NewHosts(names *[]string) Hosts { return Hosts{names} }

// Type implements [pflag.Value].
func (h Hosts) Type() string { return "HOST" }

func (h Hosts) String() string {
	if h.names == nil {
		return ""
	}
	return strings.Join(*h.names, ",")
}

// Set implements [pflag.Value].
func (h Hosts) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		host, err := parseHost(strings.TrimSpace(name))
		if err != nil {
			return err
		}
		if !slices.Contains(*h.names, host) {
			*h.names = append(*h.names, host)
		}
	}
	return nil
}

// parseHost reads host[:port].
func parseHost(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("the host is missing")
	case strings.Contains(name, "*"):
		return "", errors.New("wildcards are not allowed; name each host")
	case strings.Contains(name, "/"):
		return "", errors.New("must be HOST or HOST:PORT, without a scheme or a path")
	}
	host, _, err := reference.ParseRegistry(name)
	return host, err
}
