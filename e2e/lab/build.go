// Package lab is what the end-to-end tests are made with: the regsync binary as a person runs
// it, real registries as processes or in containers, proxies that count what passes, and
// images to move.
package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The programs that the tests run, at the versions in go.mod.
const (
	registryPackage    = "github.com/distribution/distribution/v3/cmd/registry"
	olaregPackage      = "github.com/olareg/olareg/cmd/olareg"
	conformancePackage = "github.com/opencontainers/distribution-spec/conformance"
)

// Root is the folder of the project.
func Root(ctx context.Context) (string, error) {
	mod, err := output(exec.CommandContext(ctx, "go", "env", "GOMOD"))
	if err != nil {
		return "", err
	}
	return filepath.Dir(filepath.Dir(mod)), nil
}

// BuildRegsync builds the binary under test into dir and returns its path.
func BuildRegsync(ctx context.Context, dir string) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	return build(ctx, root, "./cmd/regsync", filepath.Join(dir, "regsync"))
}

// BuildRegistry builds the registry into dir and returns its path.
func BuildRegistry(ctx context.Context, dir string) (string, error) {
	return buildTool(ctx, registryPackage, filepath.Join(dir, "registry"))
}

// OldRegistry is the path of distribution 2.8, which Harbor is built on, from Debian's package docker-registry.
// Unlike 3.1 it drops an upload whose connection broke.
func OldRegistry(ctx context.Context) (string, error) {
	const file = "/usr/bin/docker-registry"
	version, err := output(exec.CommandContext(ctx, file, "--version"))
	if err != nil {
		return "", fmt.Errorf("install Debian's package docker-registry: %w", err)
	}
	if !strings.Contains(version, "2.8.") {
		return "", fmt.Errorf("%s is not version 2.8: %s", file, version)
	}
	return file, nil
}

// BuildOlareg builds olareg, a registry with the referrers API and all digest algorithms, into dir and
// returns its path.
func BuildOlareg(ctx context.Context, dir string) (string, error) {
	return buildTool(ctx, olaregPackage, filepath.Join(dir, "olareg"))
}

// BuildConformance builds the conformance suite of the OCI distribution specification into dir and
// returns its path.
func BuildConformance(ctx context.Context, dir string) (string, error) {
	return buildTool(ctx, conformancePackage, filepath.Join(dir, "conformance"))
}

func buildTool(ctx context.Context, pkg, file string) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	return build(ctx, filepath.Join(root, "e2e"), pkg, file)
}

func build(ctx context.Context, module, pkg, file string) (string, error) {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, pkg)
	command.Dir = module
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	_, err := output(command)
	return file, err
}

// output runs a command and returns what it printed, without the space around it.
func output(command *exec.Cmd) (string, error) {
	var stderr strings.Builder
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(command.Args, " "), err, stdout, stderr.String())
	}
	return strings.TrimSpace(string(stdout)), nil
}
