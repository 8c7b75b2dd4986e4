package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/ui"
)

// With --fail-fast a failure ends the run although another image hangs, be its cause one that
// may pass: without the flag such an image waits for one more attempt until all else has
// ended. The image that hangs is left to the next run: it was under way, or not even begun.
func TestFailFastEndsWhatHangs(t *testing.T) {
	for name, broken := range map[string]bool{"gone": false, "broken": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := silent(t), registrytest.New(t)
			if broken {
				from.FailTimes(1000, registrytest.Match("", "/manifests/9"), registrytest.Fault{Status: http.StatusInternalServerError})
			}
			dir := t.TempDir()
			config, out := filepath.Join(dir, "mirror.yaml"), filepath.Join(dir, "out.json")
			text := fmt.Sprintf(`version: 1
sync:
  - {name: hanging, from: "%[1]s/app:1", to: "%[2]s/hanging"}
  - {name: %[3]s, from: "%[1]s/app:9", to: "%[2]s/app"}
`, from.Host(), to.Host(), name)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			p := startRegsync(t, "sync", "-c", config, "-q", "--fail-fast", "--report", out)
			p.wantCode(t, exitFailed)
			if took := time.Since(started); took > 40*time.Second { // one that waits for the hanging image takes more than a minute
				t.Errorf("the run ended after %v", took)
			}
			got := p.stderr.String()
			left := strings.Contains(got, "stopped after the first failure, by --fail-fast") || strings.Contains(got, "stopped early: 1 tag")
			if !left || !strings.Contains(got, "regsync: error: "+name+": ") {
				t.Errorf("stderr is\n%s", got)
			}
			file, err := os.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			undone, err := ui.ReadUndone(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(undone.Failed) != 2 && undone.NotBegun == nil {
				t.Errorf("left to be done: %+v", undone)
			}
		})
	}
}
