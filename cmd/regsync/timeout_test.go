package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/report"
)

// An entry whose registry hangs has its time and no more: it is left to the next run, which
// --failed-only can be, and the other entries are copied.
func TestEntryThatHasHadItsTime(t *testing.T) {
	hanging, from, to := silent(t), registrytest.New(t), registrytest.New(t)
	from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Seed: 1}))
	dir := t.TempDir()
	config, out := filepath.Join(dir, "mirror.yaml"), filepath.Join(dir, "out.json")
	text := fmt.Sprintf(`version: 1
sync:
  - {name: hanging, from: "%s/app:1", to: "%s/hanging", timeout: 300ms}
  - {name: fine, from: "%s/app:1", to: "%s/fine"}
`, hanging.Host(), to.Host(), from.Host(), to.Host())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startRegsync(t, "sync", "-c", config, "-q", "--report", out)
	p.wantCode(t, exitPartly)
	golden.Text(t, p.stderr.String())
	if to.ManifestDigest("fine", "1") == "" || to.ManifestDigest("hanging", "1") != "" {
		t.Error("fine is not there, or hanging is")
	}
	written, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(written), "timed out after 300ms") {
		t.Errorf("the report is %s, %v", written, err)
	}
	undone, err := report.ReadUndone(strings.NewReader(string(written)))
	if err != nil || len(undone.Failed) != 1 || undone.Failed[0].Entry != "hanging" {
		t.Errorf("left to be done: %+v, %v", undone, err)
	}
}
