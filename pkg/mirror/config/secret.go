package config

import (
	"fmt"
	"log/slog"
)

// Secret is text that prints as three asterisks, whatever prints it. A conversion to
// string gives the text itself.
type Secret string

const redacted = "***"

// String implements fmt.Stringer without telling.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format covers every verb, %x and %#v included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText covers JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue covers log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)
