package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// stage is what all tests play on.
type stage struct {
	regsync   string
	registry  string // the registry as a program
	compose   *lab.Compose
	materials *lab.Materials
}

func TestEndToEnd(t *testing.T) {
	dir := t.TempDir()
	regsync, err := lab.BuildRegsync(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := lab.BuildRegistry(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	materials, err := lab.NewMaterials(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	compose, err := lab.Up(t.Context(), materials)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := compose.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	s := &stage{regsync, registry, compose, materials}
	tonight, vanishing := s.nightfall(t), s.vanish(t)

	t.Run("Debian and two images on top", s.debian)
	t.Run("regsync's login is docker's", s.loginForDocker)
	t.Run("docker's login is regsync's", s.loginByDocker)
	t.Run("wrong password", s.wrongPassword)
	t.Run("logout", s.logout)
	t.Run("pull, tag and push", s.pullTagPush)
	t.Run("layout for skopeo", s.layoutForSkopeo)
	t.Run("layout by skopeo", s.layoutBySkopeo)
	t.Run("multi-platform index", s.index)
	t.Run("signature and referrer", s.referrers)
	t.Run("images only", s.imagesOnly)
	t.Run("conformance suite", s.conformance)
	t.Run("sync", s.sync)
	t.Run("nothing to do", s.nothingToDo)
	t.Run("no such tag", s.noSuchTag)
	t.Run("not allowed to write", s.notAllowed)
	t.Run("untrusted certificate", s.untrustedCertificate)
	t.Run("read-only store", s.readOnlyStore)
	t.Run("full disk", s.fullDisk)
	t.Run("interrupted", s.interrupted)
	t.Run("state database", s.stateDatabase)
	t.Run("path of a report", s.reportPath)
	t.Run("two runs", s.twoRuns)
	t.Run("killed", s.killed)
	t.Run("drained", s.drained)
	t.Run("blob lost", s.blobLost)
	t.Run("policy", s.policy)
	t.Run("namespaces", s.namespaces)
	t.Run("systemd's eyes", s.systemd)
	t.Run("source vanishes", func(t *testing.T) { s.sourceVanishes(t, vanishing) })
	t.Run("Debian's cron", func(t *testing.T) { s.cron(t, tonight) })
}

// shell is one where regsync trusts the secure registry and nobody is logged in.
func (s *stage) shell(t *testing.T) *lab.Shell {
	t.Helper()
	shell := lab.NewShell(t, s.regsync)
	shell.Keep(s.materials.Owner.Password, s.materials.Guest.Password)
	config := fmt.Sprintf("version: 1\nregistries:\n  %q: {ca: %q}\n", s.compose.Secure, s.materials.CA())
	shell.Set("REGSYNC_CONFIG=" + shell.Write(t, "regsync.yaml", config))
	return shell
}

// owner is a shell where the owner of all repositories is logged in everywhere.
func (s *stage) owner(t *testing.T) *lab.Shell {
	t.Helper()
	shell := s.shell(t)
	shell.Know(t, s.materials.Owner, s.compose.Secure, s.compose.Token)
	return shell
}

// hosts are all three registries.
func (s *stage) hosts() []string {
	return []string{s.compose.Plain, s.compose.Secure, s.compose.Token}
}

// skopeoDigest is what skopeo says that a reference points at.
func skopeoDigest(t *testing.T, shell *lab.Shell, reference string) string {
	t.Helper()
	raw := shell.Run(t, "skopeo", "inspect", "--tls-verify=false", "--authfile", shell.Docker()+"/config.json",
		"--format", "{{.Digest}}", reference)
	return raw
}

// wantDigests wants skopeo and regsync to say the same digest of references to registries.
func wantDigests(t *testing.T, shell *lab.Shell, want string, references ...string) {
	t.Helper()
	for _, reference := range references {
		if got := shell.Regsync(t, "digest", reference).Out(); got != want {
			t.Errorf("regsync digest %s: %s, want %s", reference, got, want)
		}
		if got := skopeoDigest(t, shell, "docker://"+reference); got != want {
			t.Errorf("skopeo inspect %s: %s, want %s", reference, got, want)
		}
	}
}
