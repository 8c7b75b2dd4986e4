//go:build unix

package auth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A helper that waited for input blocked a nightly run for good.
func TestHelperThatHangs(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nexec sleep 60\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-hanging"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	h := newHelper("hanging", "credsStore in FILE")
	if h.time != 30*time.Second {
		t.Errorf("a helper has %v", h.time)
	}
	h.time = 100 * time.Millisecond
	began := time.Now()
	_, err := h.get(t.Context(), placeOf("harbor.corp"))
	failure, is := errors.AsType[*HelperError](err)
	if !is || failure.Helper != "docker-credential-hanging" || failure.For != "harbor.corp" || time.Since(began) > 30*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	const want = "credential helper docker-credential-hanging: get harbor.corp: no answer within 100ms; try it by hand"
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
