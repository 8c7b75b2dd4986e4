package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/cmd/regsync/internal/signals"
	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
)

// accounts are the users of every registry, with their passwords. It counts who asked.
type accounts struct {
	passwords map[string]string
	asked     []string
	open      bool // everybody is let in
}

var _ loginVerifier = (*accounts)(nil)

func (a *accounts) Login(_ context.Context, host string, c auth.Credential) (verified bool, err error) {
	a.asked = append(a.asked, host)
	if a.open {
		return false, nil
	}
	if password, known := a.passwords[c.Username]; !known || password != c.Password.Reveal() {
		return false, fmt.Errorf("incorrect username or password: %w", content.ErrUnauthorized)
	}
	return true, nil
}

// loginRun is one command line of login or logout, and what came of it.
type loginRun struct {
	config string
	env    map[string]string
	users  accounts

	stdout, stderr bytes.Buffer
	code           int
	all            strings.Builder // every command line so far, with what it wrote
}

func newLoginRun(t *testing.T) *loginRun {
	t.Helper()
	dir := t.TempDir()
	return &loginRun{
		config: filepath.Join(dir, "config.json"),
		env:    map[string]string{"DOCKER_CONFIG": dir},
		users:  accounts{passwords: map[string]string{"me": "pa:ss word"}},
	}
}

func (r *loginRun) run(ctx context.Context, stdin io.Reader, args ...string) {
	r.stdout.Reset()
	r.stderr.Reset()
	a := newApp(Environment{Stdin: stdin, Stdout: &r.stdout, Stderr: &r.stderr, LookupEnv: func(name string) (string, bool) {
		value, ok := r.env[name]
		return value, ok
	}})
	root := newRootCommand(a)
	for _, cmd := range slices.Clone(root.Commands()) {
		if cmd.Name() == "login" { // its registries are real
			root.RemoveCommand(cmd)
		}
	}
	root.AddCommand(newLogoutCommand(a), newLoginCommand(a, func() (loginVerifier, error) { return &r.users, nil }))
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if signal, ok := errors.AsType[signals.Error](context.Cause(ctx)); ok {
		err = interrupted(err, signal)
	}
	newApp(Environment{Stderr: &r.stderr}).printError(err)
	r.code = exitCode(err)
	fmt.Fprintf(&r.all, "$ regsync %s\n%s", strings.Join(args, " "), r.stdout.String())
	for line := range strings.Lines(r.stderr.String()) {
		r.all.WriteString("stderr: " + line)
	}
}

// kept is the text of docker's config.json, or empty.
func (r *loginRun) kept(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(r.config)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(raw)
}

// expect checks the exit code, and that no password is shown.
func (r *loginRun) expect(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if strings.Contains(r.stdout.String()+r.stderr.String(), "pa:ss") {
		t.Error("the password was printed")
	}
}

// golden compares all that was written.
func (r *loginRun) golden(t *testing.T) {
	t.Helper()
	golden.Text(t, strings.ReplaceAll(r.all.String(), r.config, "CONFIG"))
}

func TestLogin(t *testing.T) {
	auths := base64.StdEncoding.EncodeToString([]byte("me:pa:ss word"))
	for _, test := range []struct{ argument, host, key string }{
		{"", "docker.io", "https://index.docker.io/v1/"},
		{"docker.io", "docker.io", "https://index.docker.io/v1/"},
		{"https://index.docker.io/v1/", "docker.io", "https://index.docker.io/v1/"},
		{"harbor.corp:5443", "harbor.corp:5443", "harbor.corp:5443"},
		{"harbor.corp/team", "harbor.corp", "harbor.corp/team"},
	} {
		t.Run(test.argument, func(t *testing.T) {
			r := newLoginRun(t)
			args := []string{"login", "-u", "me", "--password-stdin"}
			if test.argument != "" {
				args = append(args, test.argument)
			}
			r.run(t.Context(), strings.NewReader("pa:ss word\n"), args...)
			r.expect(t, exitDone)
			r.golden(t)
			if want := fmt.Sprintf("%q: {\n\t\t\t\"auth\": %q", test.key, auths); !strings.Contains(r.kept(t), want) {
				t.Errorf("kept %s, want %s", r.kept(t), want)
			}
			if !slices.Equal(r.users.asked, []string{test.host}) {
				t.Errorf("asked %q, want %s once", r.users.asked, test.host)
			}
		})
	}
}

// Passwords may end in blanks; only the one line break that echo puts there is not theirs.
func TestLoginStripsOneLineBreak(t *testing.T) {
	for stdin, want := range map[string]string{
		"x\n": "x", "x\r\n": "x", "x": "x", "x\n\n": "x\n", "x \n": "x ", "x\r": "x\r", "x\ny\n": "x\ny",
	} {
		got, err := readPassword(strings.NewReader(stdin))
		if err != nil || got.Reveal() != want {
			t.Errorf("%q: got %q, %v, want %q", stdin, got.Reveal(), err, want)
		}
	}
}

func TestLoginWrongPassword(t *testing.T) {
	r := newLoginRun(t)
	r.run(t.Context(), strings.NewReader("wrong"), "login", "harbor.corp", "-u", "me", "--password-stdin")
	r.expect(t, exitDenied)
	r.golden(t)
	if r.kept(t) != "" {
		t.Errorf("kept %s", r.kept(t))
	}
	if len(r.users.asked) != 1 {
		t.Errorf("asked %d times, want once", len(r.users.asked))
	}
}

func TestLoginPasswordFlagWarns(t *testing.T) {
	r := newLoginRun(t)
	r.run(t.Context(), strings.NewReader(""), "login", "-u", "me", "-p", "pa:ss word")
	r.expect(t, exitDone)
	r.golden(t)
}

func TestLoginFromVariables(t *testing.T) {
	r := newLoginRun(t)
	r.env["REGSYNC_USERNAME"], r.env["REGSYNC_PASSWORD"] = "me", "pa:ss word"
	r.run(t.Context(), strings.NewReader(""), "login", "-q")
	r.expect(t, exitDone)
	r.golden(t)
}

func TestLoginJSON(t *testing.T) {
	r := newLoginRun(t)
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "-q", "-o", "json", "-u", "me", "--password-stdin")
	r.expect(t, exitDone)
	r.golden(t)
}

// A registry that does not check passwords does not verify one.
func TestLoginNotVerified(t *testing.T) {
	r := newLoginRun(t)
	r.users.open = true
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "harbor.corp", "-u", "me", "--password-stdin")
	r.expect(t, exitDone)
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "harbor.corp", "-o", "json", "-q", "-u", "me", "--password-stdin")
	if r.code != exitDone || !strings.Contains(r.stdout.String(), `"verified": false`) {
		t.Errorf("exit code %d, stdout %s", r.code, r.stdout.String())
	}
	r.golden(t)
}

// The same with registries: one whose token server gives a token to anyone, and one that verifies passwords.
func TestLoginAtRegistries(t *testing.T) {
	for _, test := range []struct {
		users    registrytest.TokenConfig
		verified bool
	}{
		{registrytest.TokenConfig{}, false},
		{registrytest.TokenConfig{User: "me", Password: "pa:ss word"}, true},
	} {
		server := registrytest.New(t, registrytest.WithTokens(test.users))
		cmd := exec.CommandContext(t.Context(), "regsync", "login", server.Host(), "-o", "json", "-u", "me", "--password-stdin")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Stdin = strings.NewReader("pa:ss word")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.Output()
		var got struct{ Verified *bool }
		if err == nil {
			err = json.Unmarshal(stdout, &got)
		}
		warnings := strings.Count(stderr.String(), "warning") // one is about the file
		if err != nil || got.Verified == nil || *got.Verified != test.verified || (warnings == 2) == test.verified {
			t.Errorf("%v, stdout %q, stderr %q, want verified: %v", err, stdout, stderr.String(), test.verified)
		}
		if n := server.TokenRequests(); n != 2 {
			t.Errorf("%d requests for tokens, want one for me and one for a user who cannot exist", n)
		}
	}
}

func TestLoginUsage(t *testing.T) {
	var all strings.Builder
	for _, test := range []struct {
		stdin string
		args  []string
	}{
		{"x", []string{"--password-stdin"}},
		{"x", []string{"-u", "me"}},
		{"x", []string{"-p", "x"}},
		{"x", []string{"-u", "me", "-p", "x", "--password-stdin"}},
		{"\n", []string{"-u", "me", "--password-stdin"}},
		{"x", []string{"-u", "m:e", "--password-stdin"}},
		{strings.Repeat("x", 65<<10), []string{"-u", "me", "--password-stdin"}},
		{"x", []string{"-u", "me", "--password-stdin", "a b"}},
		{"x", []string{"-u", "me", "--password-stdin", "a", "b"}},
	} {
		r := newLoginRun(t)
		r.run(t.Context(), strings.NewReader(test.stdin), append([]string{"login"}, test.args...)...)
		r.expect(t, exitUsage)
		all.WriteString(r.all.String())
		if len(r.users.asked) > 0 || r.kept(t) != "" {
			t.Errorf("%q: asked %q, kept %s", test.args, r.users.asked, r.kept(t))
		}
	}
	golden.Text(t, all.String())
}

func TestLoginCannotStore(t *testing.T) {
	r := newLoginRun(t)
	r.env["DOCKER_CONFIG"] = os.DevNull
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "-u", "me", "--password-stdin")
	if text := r.stderr.String(); r.code != exitFailed || !strings.Contains(text, os.DevNull) || !strings.Contains(text, "docker.io") {
		t.Errorf("exit code %d, stderr %s", r.code, text)
	}
}

func TestLogout(t *testing.T) {
	r := newLoginRun(t)
	for _, registry := range []string{"docker.io", "harbor.corp", "harbor.corp/team"} {
		r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "-q", "-u", "me", "--password-stdin", registry)
		r.expect(t, exitDone)
	}
	r.run(t.Context(), nil, "logout")
	r.expect(t, exitDone)
	r.run(t.Context(), nil, "logout", "harbor.corp/team")
	r.expect(t, exitDone)
	r.run(t.Context(), nil, "logout", "harbor.corp/team")
	r.expect(t, exitDone)
	r.run(t.Context(), nil, "logout", "-o", "json", "harbor.corp")
	r.expect(t, exitDone)
	if strings.Contains(r.kept(t), `"auth"`) {
		t.Errorf("still kept: %s", r.kept(t))
	}
	r.golden(t)
}

func TestLogoutUsage(t *testing.T) {
	r := newLoginRun(t)
	r.run(t.Context(), nil, "logout", "ftp://x")
	r.expect(t, exitUsage)
	r.golden(t)
}
