package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// TestPackage: what make dist builds is installed on a bare Debian, and run as a container, where it mirrors an image from
// one registry to another.
func TestPackage(t *testing.T) {
	registry, err := lab.BuildRegistry(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	source, mirror := lab.StartRegistry(t, registry), lab.StartRegistry(t, registry)
	lab.Push(t, source+"/team/app:1.0", threePlatforms(t, 400))
	want := lab.Digest(t, source+"/team/app:1.0")

	dist, debian := lab.Dist(t, "archives", "packages", "image"), lab.NewChroot(t)
	debian.Write(t, "regsync.deb", read(t, only(t, dist, "*.deb")))
	debian.Run(t, "dpkg", "--force-unsafe-io", "--install", "/regsync.deb")
	version := strings.ReplaceAll(debian.Run(t, "dpkg-query", "--show", "--showformat=${Version}", "regsync"), "~", "-")
	if got := debian.Run(t, "regsync", "version"); !strings.HasPrefix(got, "regsync v"+version+" ") {
		t.Errorf("package %s prints the version %q", version, got)
	}
	for _, file := range []string{
		"usr/share/man/man1/regsync.1.gz", "usr/share/man/man1/regsync-sync.1.gz",
		"usr/share/bash-completion/completions/regsync", "usr/share/zsh/vendor-completions/_regsync",
		"usr/share/fish/vendor_completions.d/regsync.fish",
		"etc/regsync/mirror.example.yaml", "usr/share/doc/regsync/copyright",
	} {
		if info, err := os.Stat(debian.Path(file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}

	shell := lab.NewShell(t, debian.Path("usr/bin/regsync"))
	verifyUnits(t, debian.Path("usr/lib/systemd/system"), "/usr/bin/regsync", debian.Path("usr/bin/regsync"))
	debian.Write(t, "etc/regsync/mirror.yaml", "version: 1\nsync:\n  - from: "+quote(source+"/team/app")+"\n    to: "+quote(mirror+"/team/app")+"\n")
	debian.Run(t, "mkdir", "/var/lib/regsync") // which systemd creates
	debian.Run(t, unitCommand(t, debian)...)
	if got := lab.Digest(t, mirror+"/team/app:1.0"); got != want {
		t.Errorf("the package has copied %s, want %s", got, want)
	}

	image := mirror + "/tools/regsync:" + version
	shell.Run(t, lab.Script(t, "push-image.sh"), dist, mirror+"/tools/regsync")
	t.Cleanup(func() { removeImage(t, shell, image) })
	got := shell.Run(t, "docker", "run", "--rm", "--read-only", "--network", "host", image, "digest", mirror+"/team/app:1.0")
	if got != want {
		t.Errorf("the container image says %s, want %s", got, want)
	}

	rpmPackage(t, shell, dist, source+"/team/app:1.0", want)

	debian.Run(t, "dpkg", "--force-unsafe-io", "--purge", "regsync")
	for file, stays := range map[string]bool{"usr/bin/regsync": false, "etc/regsync/mirror.example.yaml": false, "etc/regsync/mirror.yaml": true} {
		if _, err := os.Stat(debian.Path(file)); (err == nil) != stays {
			t.Errorf("after the removal of the package, %s: %v", file, err)
		}
	}
}

// rpmPackage installs, verifies and removes the rpm in an empty root. Its program copies the image. There is no shell in the root,
// so the scripts, which only tell systemd, do not run.
func rpmPackage(t *testing.T, shell *lab.Shell, dist, image, want string) {
	t.Helper()
	root := t.TempDir()
	rpm := func(args ...string) { shell.Run(t, "rpm", append([]string{"--root", root}, args...)...) }
	rpm("--initdb")
	rpm("--install", "--nodeps", "--noscripts", only(t, dist, "*.rpm"))
	rpm("--verify", "--nodeps", "--noscripts", "regsync")
	shell.Run(t, filepath.Join(root, "usr/bin/regsync"), "copy", image, "oci:"+filepath.Join(root, "mirror")+":1.0")
	if got := shell.Run(t, filepath.Join(root, "usr/bin/regsync"), "digest", "oci:"+filepath.Join(root, "mirror")+":1.0"); got != want {
		t.Errorf("the rpm has copied %s, want %s", got, want)
	}
	rpm("--erase", "--nodeps", "--noscripts", "regsync")
	left, err := filepath.Glob(filepath.Join(root, "usr/share/*/regsync"))
	if _, gone := os.Stat(filepath.Join(root, "usr/bin/regsync")); err != nil || gone == nil || len(left) > 0 {
		t.Errorf("the removal leaves %q, %v", left, err)
	}
}

// unitCommand is what the unit of the package runs.
func unitCommand(t *testing.T, debian *lab.Chroot) []string {
	t.Helper()
	command := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(read(t, debian.Path("usr/lib/systemd/system/regsync.service")))
	if command == nil {
		t.Fatal("the unit has no ExecStart")
	}
	return strings.Fields(command[1])
}

// only is the one file that matches a pattern.
func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %q, %v", pattern, files, err)
	}
	return files[0]
}
