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
	Bytes struct {
		Sent int64 `json:"sent"`
	} `json:"bytes"`
	Requests map[string]int `json:"requests"`
	Items    []struct {
		Source       string `json:"source"`
		Destinations []struct {
			Ref, Status, Reason string
			Error               *struct{ Side, Host, Message, Hint string }
		} `json:"destinations"`
	} `json:"items"`
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
	sealed := shell.Path("sealed")
	if err := os.Mkdir(sealed, 0o700); err != nil {
		t.Fatal(err)
	}
	mountReadOnly(t, sealed)
	for path, words := range map[string]string{
		filepath.Join(sealed, "last.json"):                 "read-only file system",
		filepath.Join(shell.Path("nowhere"), "last.xml"):   "no such file or directory",
		filepath.Join(shell.Path("mirror.yaml"), "l.json"): "not a directory",
		"/proc/last.txt": "cannot be written",
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

	small := shell.Path("small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, small, 0, "size=64k")
	last := filepath.Join(small, "last.json")
	if err := os.WriteFile(last, []byte("of the night before"), 0o600); err != nil {
		t.Fatal(err)
	}
	fill(t, small)
	failed := shell.Want(t, 1, "sync", "-c", config, "--report", last)
	wantWords(t, failed.Stderr, "write report "+last, "no space left")
	wantDigests(t, shell, digestOf(t, image), to.Host+"/report/copied:1")
	if got := read(t, last); got != "of the night before" {
		t.Errorf("the report is now %q", got)
	}
	if left, err := filepath.Glob(filepath.Join(small, ".last.json*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
