package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
	"github.com/regsync/regsync/internal/registrytest"
)

// completionApp is a command line without a home.
func completionApp() *app {
	return newApp(Environment{
		Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
		LookupEnv: func(string) (string, bool) { return "", false }, Ending: signals.New(func(error) {}),
	})
}

// A shell waits for a completion: a registry that never answers must not hang it.
func TestCompletionEndsInTime(t *testing.T) {
	server := registrytest.New(t)
	server.Fail(func(*http.Request) *registrytest.Fault { return &registrytest.Fault{Hang: true} })
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	c := completer{completionApp(), 20 * time.Millisecond}
	ended := make(chan error, 1)
	words, _ := c.find(cmd, nil, server.Host()+"/team/app:", func(ctx context.Context, r request) ([]string, bool) {
		words, open := remoteImages(ctx, r)
		ended <- ctx.Err()
		return words, open
	})
	if len(words) > 0 {
		t.Errorf("got %q", words)
	}
	if err := <-ended; err == nil {
		t.Error("the registry has answered")
	}
	if completionLimit+completionGrace >= 2*time.Second {
		t.Errorf("a completion may take %v", completionLimit+completionGrace)
	}
}

// A helper or a file system that ignores the end of the time is not waited for.
func TestCompletionLeavesWhatDoesNotEnd(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	c := completer{completionApp(), time.Millisecond}
	release := make(chan struct{})
	defer close(release)
	words, _ := c.find(cmd, nil, "", func(context.Context, request) ([]string, bool) {
		<-release
		return []string{"late"}, false
	})
	if len(words) > 0 {
		t.Errorf("got %q", words)
	}
}

func TestCutTag(t *testing.T) {
	for word, want := range map[string]string{
		"nginx:":                     "docker.io/library/nginx",
		"nginx:1.2":                  "docker.io/library/nginx",
		"localhost:5000/app:":        "localhost:5000/app",
		"docker://harbor.corp/app:1": "harbor.corp/app",
		"oci:./mirror:1":             "oci:./mirror",
		"nginx":                      "",
		"localhost:50":               "",
		"harbor.corp:":               "",
		"harbor.corp:5000/app":       "",
		"nginx@sha256:":              "",
		"oci:dir":                    "",
		"store:":                     "",
		"docker-archive:file":        "",
		"Upper:":                     "",
	} {
		_, repository, ok := cutTag(word)
		if got := repository.Name(); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %s, %v, want %s", word, got, ok, want)
		}
	}
}

// A search that ends soon after the limit, such as one that stops a credential helper, is waited for.
func TestCompletionWaitsForTheEndOfTheSearch(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	c := completer{completionApp(), time.Millisecond}
	stopped := false
	c.find(cmd, nil, "", func(ctx context.Context, _ request) ([]string, bool) {
		<-ctx.Done()
		stopped = true
		return nil, false
	})
	if !stopped {
		t.Error("the search goes on")
	}
}

func TestCompletionSurvivesAPanic(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	c := completer{completionApp(), time.Minute}
	words, open := c.find(cmd, nil, "", func(context.Context, request) ([]string, bool) { panic("no words") })
	if len(words) > 0 || open {
		t.Errorf("got %q, %v", words, open)
	}
}
