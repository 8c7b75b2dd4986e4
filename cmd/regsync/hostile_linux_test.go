package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
)

// mostResident is how much memory a process may have under attack, its program included, in kB.
const mostResident = 96 << 10

// The real command under attack by a hostile registry: memory, time, files that it leaves, and output. TestHostileRegistry of
// pkg/transfer has all attacks; those here are the large ones, and those whose names could become files.
func TestHostileRegistryOfAProcess(t *testing.T) {
	chosen := []string{
		"digest-path", "size-huge", "blob-longer", "blob-trailers", "gzip-blob", "informational", "tags-long-name", "redirect-long-host", "tags-names",
	}
	if !raceDetector { // under it, memory says nothing, and the attacks in pkg/transfer have the races
		chosen = append(chosen,
			"manifest-1gb", "manifest-1gb-stated", "manifest-empty-descriptors", "manifest-urls", "manifest-annotations", "manifest-nested",
			"index-wide", "index-deep", "index-tree", "index-large-children", "index-many-urls", "index-many-annotations", "referrers-fat",
			"referrers-many", "referrers-lists", "gzip-manifest", "refusal-endless", "header-many", "header-100mb", "token-10mb", "token-gzip",
			"tags-endless-page", "tags-million", "tags-long-names", "tags-long-links", "tags-gzip", "tags-other-members")
	}
	found := 0
	for _, a := range registrytest.Attacks() {
		if !slices.Contains(chosen, a.Name) {
			continue
		}
		found++
		t.Run(a.Name, func(t *testing.T) { attackProcess(t, a) })
	}
	if found != len(chosen) {
		t.Errorf("%d of %d attacks were found", found, len(chosen))
	}
}

func attackProcess(t *testing.T, a registrytest.Attack) {
	server := registrytest.New(t)
	a.Begin(server)
	dir := t.TempDir()
	peak := filepath.Join(t.TempDir(), "peak")
	args := []string{"copy", server.Host() + "/team/app:1", "oci:" + filepath.Join(dir, "layout")}
	left := int64(1 << 20)
	if a.Referrers() { // what was copied, within the bound for the manifests of an image
		args, left = append(args, "--referrers"), 16<<20
	}
	if a.Lists {
		args = []string{"tags", server.Host() + "/team/app"}
	}
	cmd := exec.CommandContext(t.Context(), "regsync", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+filepath.Join(dir, "home"), "TMPDIR="+dir, peakVariable+"="+peak)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	_, exit := errors.AsType[*exec.ExitError](err)
	if failed := err != nil; failed && !exit || failed == slices.Contains([]string{"tags-names", "referrers-many"}, a.Name) {
		t.Errorf("got %v\n%.1000s", err, out)
	}
	if text := string(out); strings.Contains(text, "internal error") || strings.ContainsAny(text, "\x00\x1b\u202e") {
		t.Errorf("it printed %.1000q", text)
	} else if len(text) > 16<<10 {
		t.Errorf("it printed %d bytes: %.1000q", len(text), text)
	}
	raw, err := os.ReadFile(peak)
	resident, wrong := strconv.Atoi(string(raw))
	if err != nil || wrong != nil {
		t.Fatal(err, wrong)
	}
	t.Logf("%v, %d MiB: %.200s", took, resident>>10, out)
	if resident > mostResident && !raceDetector {
		t.Errorf("%d MiB of memory, want at most %d", resident>>10, mostResident>>10)
	}
	if took > time.Minute {
		t.Errorf("it took %v", took)
	}
	var bytes int64
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		bytes += info.Size()
		return err
	})
	if err != nil || bytes > left {
		t.Errorf("%d bytes are left on the disk, want at most %d, %v", bytes, left, err)
	}
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if !slices.Contains([]string{"layout", "home"}, entry.Name()) {
			t.Errorf("%s was written", entry.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}
