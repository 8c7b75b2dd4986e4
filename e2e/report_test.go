package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/regsync/regsync/e2e/lab"
)

// nightReport is what the tests read of a report.
type nightReport struct {
	Run struct {
		ExitCode int `json:"exitCode"`
	} `json:"run"`
	Counts struct {
		Copied, Unchanged, Skipped, Deferred, Failed int
	} `json:"counts"`
	Requests map[string]int `json:"requests"`
	Items    []struct {
		Destinations []struct {
			Ref, Status string
			Rule        *struct{ Kind string }
			Error       *struct{ Message string }
		}
		Error *struct{ Message string }
	}
}

func readReport(t *testing.T, path string) *nightReport {
	t.Helper()
	var r nightReport
	if err := json.Unmarshal([]byte(read(t, path)), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// reportPath: where a report cannot be written, that is said before anybody is asked; where
// the disk is full at the end, the report of the night before stays.
func (s *stage) reportPath(t *testing.T) {
	shell := s.owner(t)
	from, to := lab.StartProxy(t, s.compose.Plain, 0), lab.StartProxy(t, s.compose.Plain, 0)
	image := lab.Image(t, "linux/amd64", lab.Layer(t, 420, 50_000))
	lab.Push(t, s.compose.Plain+"/report/app:1", image)
	config := shell.Write(t, "mirror.yaml", `version: 1
sync:
  - {from: `+quote(from.Host+"/report/app:1")+`, to: `+quote(to.Host+"/report/copied")+`}
`)
	sealed := folder(t, shell, "sealed")
	mountReadOnly(t, sealed)
	for path, words := range map[string]string{
		filepath.Join(sealed, "last.json"):                   "read-only file system",
		shell.Path("nowhere/last.xml"):                       "no such file or directory",
		filepath.Join(shell.Path("mirror.yaml"), "last.txt"): "not a directory",
	} {
		refused := shell.Want(t, 2, "sync", "-c", config, "--report", path, "--report", shell.Path("fine.json"))
		wantWords(t, refused.Stderr, "--report "+path, words)
		if asked := len(from.Take()) + len(to.Take()); asked > 0 {
			t.Errorf("%d requests before the report at %s was refused", asked, path)
		}
		if _, err := os.Stat(shell.Path("fine.json")); !os.IsNotExist(err) {
			t.Errorf("the other report: %v", err)
		}
	}
	reportOnFullDisk(t, shell, config)
	wantDigests(t, shell, digestOf(t, image), to.Host+"/report/copied:1")
}

func reportOnFullDisk(t *testing.T, shell *lab.Shell, config string) {
	t.Helper()
	small := folder(t, shell, "small")
	mountTmpfs(t, small, 0, "size=64k")
	last := filepath.Join(small, "last.json")
	if err := os.WriteFile(last, []byte("of the night before"), 0o600); err != nil {
		t.Fatal(err)
	}
	fill(t, small)
	failed := shell.Want(t, 3, "sync", "-c", config, "--report", last)
	wantWords(t, failed.Stdout, "1 copied")
	wantWords(t, failed.Stderr, "write report "+last, "no space left")
	if got := read(t, last); got != "of the night before" {
		t.Errorf("the report is now %q", got)
	}
	if left, err := filepath.Glob(filepath.Join(small, ".last.json*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// folder makes a folder of the shell.
func folder(t *testing.T, shell *lab.Shell, name string) string {
	t.Helper()
	if err := os.Mkdir(shell.Path(name), 0o700); err != nil {
		t.Fatal(err)
	}
	return shell.Path(name)
}
