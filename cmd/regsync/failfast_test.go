package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/report"
)

// With --fail-fast a failure ends the run although another image hangs. The image that hangs
// is left to the next run: it was under way, or not even begun.
func TestFailFastEndsWhatHangs(t *testing.T) {
	from, to := silent(t), registrytest.New(t)
	dir := t.TempDir()
	config, out := filepath.Join(dir, "mirror.yaml"), filepath.Join(dir, "out.json")
	text := fmt.Sprintf(`version: 1
sync:
  - {name: hanging, from: "%[1]s/app:1", to: "%[2]s/hanging"}
  - {name: gone, from: "%[1]s/app:9", to: "%[2]s/app"}
`, from.Host(), to.Host())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startRegsync(t, "sync", "-c", config, "-q", "--fail-fast", "--report", out)
	p.wantCode(t, exitFailed)
	got := p.stderr.String()
	left := strings.Contains(got, "by --fail-fast") || strings.Contains(got, "stopped early")
	if !left || !strings.Contains(got, "error: gone: ") {
		t.Errorf("stderr is\n%s", got)
	}
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	undone, err := report.ReadUndone(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(undone.Failed) != 2 && undone.NotStarted == nil {
		t.Errorf("left to be done: %+v", undone)
	}
}
