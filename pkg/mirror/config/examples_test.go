package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/regsync/regsync/pkg/mirror/config"
)

// exampleEnvironment has what the examples ask for.
func exampleEnvironment() func(string) (string, bool) {
	return environment("HUB_USER", "a", "HUB_TOKEN", "b", "ACR_USER", "c", "ACR_PASSWORD", "d", "HARBOR_USER", "e", "HARBOR_PASSWORD", "f")
}

// TestExamples: every file in configs loads, and so does what is commented out in it.
func TestExamples(t *testing.T) {
	env := exampleEnvironment()
	files, err := filepath.Glob("../../../configs/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for _, file := range files {
		cfg, err := config.Load([]string{file}, config.Options{Env: env})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(cfg.Entries) == 0 || len(cfg.Warnings) > 0 {
			t.Errorf("%s: %d entries, warnings %q", file, len(cfg.Entries), cfg.Warnings)
		}
	}
}

// TestCommentedExamples: what the examples show in comments works once it is uncommented.
func TestCommentedExamples(t *testing.T) {
	env := exampleEnvironment()
	commented := regexp.MustCompile(`(?m)^( *)# (( *)(registries|docker\.io|username|password|proxy|mirrors|ca|maxConnections|- from|- fromFile|to|- "\S+)(:.*)?"?)$`)
	files, err := filepath.Glob("../../../configs/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	uncommented := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		uncommented += len(commented.FindAll(raw, -1))
		dir := t.TempDir()
		write(t, dir, "images.txt", "busybox:1.37\n")
		write(t, dir, "corp-ca.pem", "")
		path := write(t, dir, "c.yaml", commented.ReplaceAllString(string(raw), "$1$2"))
		if _, err := config.Load([]string{path}, config.Options{Env: env}); err != nil {
			t.Errorf("%s:\n%v", file, err)
		}
	}
	if uncommented < 10 {
		t.Errorf("only %d lines were uncommented", uncommented)
	}
}
