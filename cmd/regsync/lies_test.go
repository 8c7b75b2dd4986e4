package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/internal/registrytest"
)

// regsync runs the command to its end.
func regsync(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, words strings.Builder
	cmd := exec.CommandContext(t.Context(), "regsync", args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), out.String(), words.String()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), words.String()
}

// index is an index over descriptors that need not exist.
func index(t *testing.T, children ...ocispec.Descriptor) []byte {
	t.Helper()
	raw, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func descriptor(i int) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 500,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"},
	}
}

// A source may say anything. Whatever it is: the exit code is 1, the error says which side
// lied and about what, and nothing stands at the destination.
func TestSourcesThatLie(t *testing.T) {
	const repo = "app"
	for _, lie := range []struct {
		name string
		tell func(t *testing.T, source *registrytest.Server)
		says string
	}{
		{"a blob of other bytes", func(_ *testing.T, s *registrytest.Server) {
			image := registrytest.Image(registrytest.ImageSpec{})
			s.Push(repo, "1", image)
			s.CorruptBlob(repo, image.Layers[0].Digest)
		}, "digest"},
		{"a layer shorter than stated", func(_ *testing.T, s *registrytest.Server) {
			s.Push(repo, "1", registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: 1000, ClaimedSize: 5000}}}))
		}, "5000"},
		{"a layer longer than stated", func(_ *testing.T, s *registrytest.Server) {
			s.Push(repo, "1", registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: 5000, ClaimedSize: 1000}}}))
		}, "1000"},
		{"a manifest of other bytes", func(t *testing.T, s *registrytest.Server) {
			image := registrytest.Image(registrytest.ImageSpec{})
			s.Push(repo, "1", image)
			s.ReplaceManifest(repo, image.Digest().String(), ocispec.MediaTypeImageManifest, index(t))
		}, "digest"},
		{"an index that contains itself", func(t *testing.T, s *registrytest.Server) {
			// No index can hold its own digest; one can be served under a digest that it holds.
			self := descriptor(1)
			self.MediaType = ocispec.MediaTypeImageIndex
			raw := index(t, self)
			self.Size = int64(len(raw))
			raw = index(t, self)
			s.ReplaceManifest(repo, "1", ocispec.MediaTypeImageIndex, raw)
			s.ReplaceManifest(repo, self.Digest.String(), ocispec.MediaTypeImageIndex, raw)
		}, "digest"},
		{"20,000 children", func(t *testing.T, s *registrytest.Server) {
			children := make([]ocispec.Descriptor, 20_000)
			for i := range children {
				children[i] = descriptor(i)
			}
			s.ReplaceManifest(repo, "1", ocispec.MediaTypeImageIndex, index(t, children...))
		}, "more than"},
		{"a manifest of 1 GB", func(_ *testing.T, s *registrytest.Server) {
			s.BigManifest(repo, "1", 1<<30)
		}, "4194304"},
		{"a digest that leaves the directory", func(t *testing.T, s *registrytest.Server) {
			evil := descriptor(1)
			evil.Digest = "sha256:../../../../etc/passwd"
			s.ReplaceManifest(repo, "1", ocispec.MediaTypeImageIndex, index(t, evil))
		}, "etc/passwd"},
		{"docker schema 1", func(_ *testing.T, s *registrytest.Server) {
			s.ReplaceManifest(repo, "1", "application/vnd.docker.distribution.manifest.v1+prettyjws",
				[]byte(`{"schemaVersion": 1, "name": "app", "tag": "1", "fsLayers": []}`))
		}, "schema 1"},
	} {
		t.Run(lie.name, func(t *testing.T) {
			t.Parallel()
			source, destination := registrytest.New(t), registrytest.New(t)
			lie.tell(t, source)
			layout := filepath.Join(t.TempDir(), "layout")
			for _, to := range []string{destination.Host() + "/app:1", "oci:" + layout + ":1"} {
				code, stdout, stderr := regsync(t, "copy", source.Host()+"/app:1", to)
				if code != 1 || stdout != "" {
					t.Errorf("to %s: exit code %d with %q, want 1 and nothing", to, code, stdout)
				}
				if !strings.Contains(stderr, "error: source "+source.Host()+"/app:1: ") || !strings.Contains(stderr, lie.says) {
					t.Errorf("to %s: stderr does not blame the source with %q:\n%s", to, lie.says, stderr)
				}
			}
			if puts := destination.Count(http.MethodPut, "/manifests/"); puts != 0 {
				t.Errorf("%d manifests were put at the destination", puts)
			}
			if code, _, _ := regsync(t, "digest", "oci:"+layout+":1"); code == 0 {
				t.Error("the layout has the tag")
			}
		})
	}
}

// What a registry sends us elsewhere to: another host is fine and gets no credentials; an
// address that only we can reach is not.
func TestWhereRegistriesSendUs(t *testing.T) {
	image := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: 100_000}}})

	t.Run("a Location at another host", func(t *testing.T) {
		source, destination := registrytest.New(t), registrytest.New(t, registrytest.With(registrytest.LocationElsewhere), registrytest.WithBasic("me", "secret"))
		source.Push("app", "1", image)
		home := t.TempDir()
		config := filepath.Join(home, "config.yaml")
		text := fmt.Sprintf("version: 1\nregistries:\n  %q: {username: me, password: secret}\n", destination.Host())
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := regsync(t, "copy", "-c", config, source.Host()+"/app:1", destination.Host()+"/app:1")
		if code != 0 {
			t.Fatalf("exit code %d:\n%s", code, stderr)
		}
		elsewhere := 0
		for _, request := range destination.Log() {
			if request.Host == destination.Elsewhere() {
				elsewhere++
				if got := request.Header.Get("Authorization"); got != "" {
					t.Errorf("%s %s at the other host was sent credentials", request.Method, request.Path)
				}
			}
		}
		if elsewhere == 0 {
			t.Error("nothing went to the other host: the test proves nothing")
		}
	})

	for name, location := range map[string]string{
		"a Location with user info":       "http://user:pass@127.0.0.1/upload",
		"a Location at link-local":        "http://169.254.169.254/latest/meta-data/",
		"a Location at Aliyun's metadata": "http://100.100.100.200/latest/meta-data/",
		"a Location of another scheme":    "file:///etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			source, destination := registrytest.New(t), registrytest.New(t)
			source.Push("app", "1", image)
			destination.Fail(func(r *http.Request) *registrytest.Fault {
				if r.Method != http.MethodPost {
					return nil
				}
				return &registrytest.Fault{Status: http.StatusAccepted, Header: http.Header{"Location": {location}}}
			})
			code, _, stderr := regsync(t, "copy", source.Host()+"/app:1", destination.Host()+"/app:1")
			if code != 1 || !strings.Contains(stderr, "error: destination "+destination.Host()) {
				t.Errorf("exit code %d, want 1 and the destination blamed:\n%s", code, stderr)
			}
			if strings.Contains(stderr, "pass@") {
				t.Errorf("a password is shown:\n%s", stderr)
			}
		})
	}

	for name, realm := range map[string]string{
		"a realm with user info": "http://user:pass@127.0.0.1/token",
		"a realm at link-local":  "http://169.254.169.254/token",
	} {
		t.Run(name, func(t *testing.T) {
			source := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{User: "me", Password: "secret", Elsewhere: realm}))
			destination := registrytest.New(t)
			source.Push("app", "1", image)
			code, _, stderr := regsync(t, "copy", source.Host()+"/app:1", destination.Host()+"/app:1")
			if code != 1 && code != 5 || !strings.Contains(stderr, "error: source "+source.Host()) {
				t.Errorf("exit code %d, want a failure that blames the source:\n%s", code, stderr)
			}
			if strings.Contains(stderr, "pass@") {
				t.Errorf("a password is shown:\n%s", stderr)
			}
		})
	}
}
