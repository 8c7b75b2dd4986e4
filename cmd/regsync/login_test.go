package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
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
	if signal, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		err = interrupted(err, signal)
	}
	newApp(Environment{Stderr: &r.stderr}).printError(err)
	r.code = exitCode(err)
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

func (r *loginRun) expect(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if got := r.stdout.String(); got != stdout {
		t.Errorf("stdout: got %q, want %q", got, stdout)
	}
	if got := r.stderr.String(); got != stderr {
		t.Errorf("stderr: got\n%swant\n%s", got, stderr)
	}
	if strings.Contains(r.stdout.String()+r.stderr.String(), "pa:ss") {
		t.Error("the password was printed")
	}
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
			r.expect(t, exitDone, "Login Succeeded\n", "regsync: warning: the password is stored unencrypted in "+r.config+
				"; a credential helper named there as credsStore avoids that\n")
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
	r.expect(t, exitDenied, "", "regsync: error: log in to harbor.corp as me: incorrect username or password: unauthorized\n"+
		"regsync: hint: nothing was stored; an account with two-factor login needs an access token as its password\n")
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
	if want := "regsync: warning: --password is visible in the process list"; r.code != exitDone || !strings.HasPrefix(r.stderr.String(), want) {
		t.Errorf("exit code %d, stderr %s, want %s", r.code, r.stderr.String(), want)
	}
}

func TestLoginFromVariables(t *testing.T) {
	r := newLoginRun(t)
	r.env["REGSYNC_USERNAME"], r.env["REGSYNC_PASSWORD"] = "me", "pa:ss word"
	r.run(t.Context(), strings.NewReader(""), "login", "-q")
	r.expect(t, exitDone, "", "")
}

func TestLoginJSON(t *testing.T) {
	r := newLoginRun(t)
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "-q", "-o", "json", "-u", "me", "--password-stdin")
	r.expect(t, exitDone, `{
  "schema": "regsync.login/v1",
  "registry": "docker.io",
  "username": "me",
  "verified": true,
  "storedIn": "`+r.config+`",
  "encrypted": false
}
`, "")
}

// A registry that does not check passwords does not verify one.
func TestLoginNotVerified(t *testing.T) {
	r := newLoginRun(t)
	r.users.open = true
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "harbor.corp", "-u", "me", "--password-stdin")
	r.expect(t, exitDone, "Login stored, not verified\n",
		"regsync: warning: harbor.corp may accept any user name and password: the password is stored, but not verified\n"+
			"regsync: warning: the password is stored unencrypted in "+r.config+"; a credential helper named there as credsStore avoids that\n")
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "harbor.corp", "-o", "json", "-q", "-u", "me", "--password-stdin")
	if r.code != exitDone || !strings.Contains(r.stdout.String(), `"verified": false`) {
		t.Errorf("exit code %d, stdout %s", r.code, r.stdout.String())
	}
}

// The same with registries: one whose token server gives a token to anyone, and one that verifies passwords.
func TestLoginAtRegistries(t *testing.T) {
	for _, test := range []struct {
		users  registrytest.TokenConfig
		stdout string
		warned bool
	}{
		{registrytest.TokenConfig{}, "Login stored, not verified\n", true},
		{registrytest.TokenConfig{User: "me", Password: "pa:ss word"}, "Login Succeeded\n", false},
	} {
		server := registrytest.New(t, registrytest.WithTokens(test.users))
		cmd := exec.CommandContext(t.Context(), "regsync", "login", server.Host(), "-u", "me", "--password-stdin")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Stdin = strings.NewReader("pa:ss word")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.Output()
		if err != nil || string(stdout) != test.stdout || strings.Contains(stderr.String(), "may accept any") != test.warned {
			t.Errorf("%v, stdout %q, stderr %q, want %q", err, stdout, stderr.String(), test.stdout)
		}
		if n := server.TokenRequests(); n != 2 {
			t.Errorf("%d requests for tokens, want one for me and one for a user who cannot exist", n)
		}
	}
}

func TestLoginUsage(t *testing.T) {
	for _, test := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"x", []string{"--password-stdin"}, "--password-stdin needs --username: stdin holds the password alone"},
		{"x", []string{"-u", "me"}, "there is no terminal to ask for what is missing: use --username and --password-stdin"},
		{"x", []string{"-p", "x"}, "there is no terminal to ask for what is missing: use --username and --password-stdin"},
		{"x", []string{"-u", "me", "-p", "x", "--password-stdin"}, "--password and --password-stdin exclude each other"},
		{"\n", []string{"-u", "me", "--password-stdin"}, "the password is empty"},
		{"x", []string{"-u", "m:e", "--password-stdin"}, "a user name has no colon"},
		{strings.Repeat("x", 65<<10), []string{"-u", "me", "--password-stdin"}, "stdin holds more than 65536 bytes: that is no password"},
		{"x", []string{"-u", "me", "--password-stdin", "a b"}, `"a b": there is a space in it`},
		{"x", []string{"-u", "me", "--password-stdin", "a", "b"}, `unexpected argument "b": regsync login [HOST[/PATH]] [flags]`},
	} {
		r := newLoginRun(t)
		r.run(t.Context(), strings.NewReader(test.stdin), append([]string{"login"}, test.args...)...)
		r.expect(t, exitUsage, "", "regsync: error: "+test.want+"\nregsync: hint: --help shows the usage, with examples\n")
		if len(r.users.asked) > 0 || r.kept(t) != "" {
			t.Errorf("%q: asked %q, kept %s", test.args, r.users.asked, r.kept(t))
		}
	}
}

func TestLoginCannotStore(t *testing.T) {
	r := newLoginRun(t)
	r.env["DOCKER_CONFIG"] = os.DevNull
	r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "-u", "me", "--password-stdin")
	if r.code != exitFailed || !strings.Contains(r.stderr.String(), "save the credentials of docker.io: ") {
		t.Errorf("exit code %d, stderr %s", r.code, r.stderr.String())
	}
}

func TestLogout(t *testing.T) {
	r := newLoginRun(t)
	for _, registry := range []string{"docker.io", "harbor.corp", "harbor.corp/team"} {
		r.run(t.Context(), strings.NewReader("pa:ss word"), "login", "-q", "-u", "me", "--password-stdin", registry)
		r.expect(t, exitDone, "", "")
	}
	r.run(t.Context(), nil, "logout")
	r.expect(t, exitDone, "Removing login credentials for docker.io\n", "")
	r.run(t.Context(), nil, "logout", "harbor.corp/team")
	r.expect(t, exitDone, "Removing login credentials for harbor.corp/team\n", "")
	r.run(t.Context(), nil, "logout", "harbor.corp/team")
	r.expect(t, exitDone, "Not logged in to harbor.corp/team\n", "")
	r.run(t.Context(), nil, "logout", "-o", "json", "harbor.corp")
	r.expect(t, exitDone, "{\n  \"schema\": \"regsync.logout/v1\",\n  \"registry\": \"harbor.corp\",\n  \"removed\": true\n}\n", "")
	if strings.Contains(r.kept(t), `"auth"`) {
		t.Errorf("still kept: %s", r.kept(t))
	}
}

func TestLogoutUsage(t *testing.T) {
	r := newLoginRun(t)
	r.run(t.Context(), nil, "logout", "ftp://x")
	r.expect(t, exitUsage, "", `regsync: error: "ftp://x": "ftp://" is not a scheme of registries; write the host alone
regsync: hint: --help shows the usage, with examples
`)
}
