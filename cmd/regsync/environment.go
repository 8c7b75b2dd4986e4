package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
	"github.com/regsync/regsync/pkg/auth"
)

// Environment is what a process has for a command line.
type Environment struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// LookupEnv finds an environment variable, as os.LookupEnv does.
	LookupEnv func(name string) (value string, ok bool)
	// Ending is how signals end the process.
	Ending *signals.Ending
}

// getenv finds an environment variable, as os.Getenv does.
func (e *Environment) getenv(name string) string {
	value, _ := e.LookupEnv(name)
	return value
}

// loadEnvFile adds the file that flag names to the environment of regsync and of its configuration. It does not change the
// environment of the process, from which net/http takes HTTPS_PROXY. Variables that are set already win, as in docker compose.
func loadEnvFile(a *app, flag *pflag.Flag) error {
	if value, ok := a.LookupEnv(variable(flag.Name)); ok && !flag.Changed {
		if err := flag.Value.Set(value); err != nil {
			return err
		}
	}
	name := flag.Value.String()
	if name == "" {
		return nil
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("env file: %w", err)
	}
	added, err := parseEnvFile(name, raw)
	if err != nil {
		return fmt.Errorf("env file: %w", err)
	}
	if len(added) > 0 && auth.ReadableByAll(name) {
		a.warn("all users can read %s; run chmod 600 %s", name, name)
	}
	outer := a.LookupEnv
	a.LookupEnv = func(name string) (string, bool) {
		if value, ok := outer(name); ok {
			return value, true
		}
		value, ok := added[name]
		return value, ok
	}
	return nil
}

// parseEnvFile reads lines of NAME=VALUE. Blank lines and lines that begin with # are
// skipped, a leading "export " and one pair of quotes around the value are dropped, with a
// comment behind them. The errors name the line, never its text: it may hold a secret.
func parseEnvFile(file string, raw []byte) (map[string]string, error) {
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("%s:%d is not NAME=VALUE", file, number)
		}
		values[name] = unquote(strings.TrimSpace(value))
	}
	return values, lines.Err()
}

// unquote drops one pair of quotes, and a comment behind it. A value without quotes is not changed, as in docker: a
// password may contain a #.
func unquote(s string) string {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return s
	}
	inside, after, closed := strings.Cut(s[1:], s[:1])
	if after = strings.TrimSpace(after); closed && (after == "" || strings.HasPrefix(after, "#")) {
		return inside
	}
	if len(s) >= 2 && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
