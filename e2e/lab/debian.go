package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// debianSuite is the release that the base image is made of.
const debianSuite = "bookworm"

// Debian returns a tar archive of a minimal Debian, made by debootstrap as root from
// Debian's own servers. It is kept in the user's cache folder for the next run.
func Debian(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	archive := filepath.Join(cache, "regsync-e2e", "debian-"+debianSuite+".tar")
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return "", err
	}
	root, err := os.MkdirTemp("", "regsync-e2e-debian-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(root)
	// debootstrap makes the folder readable for root alone, which "/" must not be.
	if err := os.Chmod(root, 0o755); err != nil {
		return "", err
	}
	if _, err := output(exec.CommandContext(ctx, "debootstrap", "--variant=minbase", debianSuite, root)); err != nil {
		return "", fmt.Errorf("make a Debian: %w", err)
	}
	unfinished := archive + ".unfinished"
	pack := exec.CommandContext(ctx, "tar", "--create", "--file", unfinished, "--directory", root,
		"--one-file-system", "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*", ".")
	if _, err := output(pack); err != nil {
		return "", err
	}
	return archive, os.Rename(unfinished, archive)
}
