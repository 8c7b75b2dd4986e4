package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/lab"
)

// night is the example for cron, set up to be run by Debian's cron every minute.
type night struct {
	shell        *lab.Shell
	report, said string
	want         string // the digest at the source
	destinations []string
}

// nightfall hands the example to cron, which wakes at each full minute: the other tests are
// run meanwhile.
func (s *stage) nightfall(t *testing.T) *night {
	t.Helper()
	shell := s.shell(t)
	n := &night{shell: shell, report: shell.Path("last.json"), said: shell.Path("said"),
		destinations: []string{s.compose.Secure + "/night/app:1.0"}}
	source := s.compose.Plain + "/night/app:1.0"
	lab.Push(t, source, threePlatforms(t, 300))
	n.want = lab.Digest(t, source)
	shell.Write(t, "secrets.env", "OWNER="+s.materials.Owner.Name+"\nPASSWORD="+s.materials.Owner.Password+"\n")
	shell.Write(t, "ca.pem", s.authority(t))
	// Relative paths and no HOME of ours: cron starts it in root's.
	shell.Write(t, "mirror.yaml", `version: 1
registries:
  `+quote(s.compose.Secure)+`: {ca: ca.pem, username: "${OWNER}", password: "${PASSWORD}"}
sync:
  - from: `+quote(s.compose.Plain+"/night/app")+`
    to: [`+quote(s.compose.Secure+"/night/app")+`, "oci:./mirror/{{.Base}}"]
`)
	lab.Cron(t, "regsync-e2e", s.crontab(t, n))
	return n
}

// crontab is the example with this machine's paths, every minute instead of every night.
func (s *stage) crontab(t *testing.T, n *night) string {
	t.Helper()
	raw, err := os.ReadFile("../configs/cron/regsync")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, change := range [][2]string{
		{"17 2 * * * regsync regsync ", "* * * * * root " + s.regsync + " "},
		{"/etc/regsync/", n.shell.Dir + "/"},
		{"/var/lib/regsync/last.json", n.report},
		{"/var/lib/regsync", n.shell.Path("state")},
		{"--quiet", "--quiet >>" + n.said + " 2>&1"},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("the example does not hold %q:\n%s", change[0], text)
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	return text
}

func (s *stage) authority(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(s.materials.CA())
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// cron: what the example did at night, in cron's empty environment.
func (s *stage) cron(t *testing.T, n *night) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := lab.Appears(ctx, n.report); err != nil {
		t.Fatalf("%v; it said %q", err, read(t, n.said))
	}
	if said := read(t, n.said); said != "" {
		t.Errorf("a night when all went well said %q", said)
	}
	report := read(t, n.report)
	if !strings.Contains(report, `"exitCode": 0`) || strings.Contains(report, s.materials.Owner.Password) {
		t.Errorf("the report:\n%s", report)
	}
	shell := s.owner(t)
	wantDigests(t, shell, n.want, n.destinations...)
	layout := "oci:" + filepath.Join(n.shell.Dir, "mirror", "app") + ":1.0"
	if got := shell.Regsync(t, "digest", layout).Out(); got != n.want {
		t.Errorf("%s: %s, want %s", layout, got, n.want)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(raw)
}

// systemd: the units are without fault in systemd's own eyes.
func (s *stage) systemd(t *testing.T) {
	verifyUnits(t, "../configs/systemd", "/usr/local/bin/regsync", s.regsync)
}

// verifyUnits wants systemd-analyze verify to find no fault in the units in dir. They name the program, which is at file.
func verifyUnits(t *testing.T, dir, program, file string) {
	t.Helper()
	units := t.TempDir()
	for _, name := range []string{"regsync.service", "regsync.timer"} {
		unit := strings.ReplaceAll(read(t, filepath.Join(dir, name)), program, file)
		if err := os.WriteFile(filepath.Join(units, name), []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "systemd-analyze", "verify",
		filepath.Join(units, "regsync.service"), filepath.Join(units, "regsync.timer"))
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Run(); err != nil || said.Len() > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, &said)
	}
}
