//go:build unix

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
)

// planted are the secrets of a test, by where they are planted. Each has characters that encodings change.
var planted = map[string]string{
	"configuration":     `PLANTED "conf&ig"<u>r\ation/1+`,
	"environment":       `PLANTED-env"iron&ment\2/%=`,
	"docker's file":     `PLANTED-"docker"\3&`,
	"a proxy":           `PLANTED-"proxy"&4`,
	"the proxy of all":  "PLANTED-environment-proxy-5",
	"an identity token": `PLANTED "identity"&\6`,
	"a token":           "PLANTED+token/7~==",
	"a signature":       "PLANTED/signature+8=",
	"stdin":             `PLANTED "stdin"&\9`,
}

// asJSON returns a string in JSON, as Go and most others write it.
func asJSON(text string) string {
	raw, _ := json.Marshal(text) // every string has a JSON form
	return string(raw)
}

// leaks returns the places of the secrets that are in a text, encoded or not.
func leaks(text string) (found []string) {
	for where, secret := range planted {
		inJSON, quoted := strings.Trim(asJSON(secret), `"`), strings.Trim(strconv.Quote(secret), `"`)
		for _, form := range []string{
			secret, base64.RawStdEncoding.EncodeToString([]byte("me:" + secret)), base64.RawStdEncoding.EncodeToString([]byte("<token>:" + secret)),
			url.QueryEscape(secret), url.PathEscape(secret), inJSON, quoted, html.EscapeString(secret), strings.Trim(strconv.Quote(inJSON), `"`),
			strings.Trim(strconv.Quote(quoted), `"`), strings.Trim(asJSON(inJSON), `"`),
		} {
			if strings.Contains(text, form) {
				found = append(found, where)
				break
			}
		}
	}
	return found
}

// secretive is a directory with everything that runs of regsync leave behind.
type secretive struct {
	t               *testing.T
	home, state     string
	config, helpers string
	env             []string
}

func newSecretive(t *testing.T) *secretive {
	t.Helper()
	s := &secretive{t: t, home: t.TempDir(), state: filepath.Join(t.TempDir(), "state"), helpers: t.TempDir()}
	s.config = filepath.Join(t.TempDir(), "config.yaml")
	s.env = append(os.Environ(), "HOME="+s.home, "DOCKER_CONFIG="+filepath.Join(s.home, ".docker"), "TMPDIR="+t.TempDir(),
		"PLANTED="+planted["environment"], "PATH="+s.helpers+string(os.PathListSeparator)+os.Getenv("PATH"))
	return s
}

// run runs regsync and looks for secrets in what it prints. It returns what it printed.
func (s *secretive) run(stdin string, env []string, args ...string) (printed string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "regsync", append(args, "--state", s.state)...)
	cmd.Env, cmd.Stdin = slices.Concat(s.env, env), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if _, exit := errors.AsType[*exec.ExitError](err); err != nil && !exit {
		s.t.Fatal(err)
	}
	if found := leaks(string(out)); len(found) > 0 {
		s.t.Errorf("regsync %q prints the secret of %q:\n%s", args, found, out)
	}
	return string(out)
}

// files looks for secrets in all files below a directory, and checks their modes.
func (s *secretive) files(dir string) (n int) {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			s.t.Errorf("%s has the mode %v", path, info.Mode())
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		n++
		raw, err := os.ReadFile(path)
		if found := leaks(string(raw)); len(found) > 0 {
			s.t.Errorf("%s has the secret of %q", path, found)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return n
}

// echo answers matching requests with the contents of the request, encoded in several ways.
func echo(s *registrytest.Server, method, pattern string, status int) {
	s.Fail(func(r *http.Request) *registrytest.Fault {
		if !registrytest.Match(method, pattern)(r) {
			return nil
		}
		return &registrytest.Fault{Serve: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			user, password, _ := r.BasicAuth()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			said := asJSON(fmt.Sprint("you sent ", r.Header.Get("Authorization"), " ", user, " ", password, " ", r.URL.RawQuery, " ", string(body)))
			forms := asJSON(fmt.Sprint(url.QueryEscape(password), " ", url.PathEscape(password), " ", asJSON(password)))
			fmt.Fprintf(w, `{"errors":[{"code":%s,"message":%s,"detail":%s}]}`, asJSON("DENIED "+password), said, forms)
		}}
	})
}

// No secret appears in the output with -v, in reports, in the state, or in the arguments of credential helpers, even if
// a registry repeats what it was sent.
func TestSecretsAreNowhere(t *testing.T) {
	s := newSecretive(t)
	image := registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: 100_000}}})
	source := registrytest.New(t, registrytest.WithBasic("me", planted["configuration"]))
	tokens := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{User: "me", Password: planted["environment"]}))
	identity := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{
		User: "me", Password: "x", IdentityToken: planted["an identity token"],
	}))
	docker := registrytest.New(t, registrytest.WithBasic("me", planted["docker's file"]))
	echoing := registrytest.New(t, registrytest.WithBasic("me", planted["configuration"]))
	malformed := registrytest.New(t, registrytest.WithBasic("me", planted["configuration"]))
	leading := registrytest.New(t, registrytest.WithBasic("me", planted["configuration"]))
	listing := registrytest.New(t, registrytest.WithBasic("me", planted["configuration"]))
	posted := registrytest.New(t, registrytest.WithTokens(registrytest.TokenConfig{User: "me", Password: "x", IdentityToken: "y"}))
	tokened := registrytest.New(t)
	signed := registrytest.New(t)
	source.Push("app", "1", image)
	signed.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Seed: 2}))

	echo(echoing, http.MethodPost, "/uploads/", http.StatusForbidden)
	echo(posted, http.MethodPost, "^/token$", http.StatusUnauthorized)
	leading.Fail(func(r *http.Request) *registrytest.Fault {
		_, password, _ := r.BasicAuth()
		switch {
		case r.Method == http.MethodPost && password != "":
			return &registrytest.Fault{Status: http.StatusAccepted, Header: http.Header{"Location": {"/upload/" + url.PathEscape(password)}}}
		case strings.HasPrefix(r.URL.Path, "/upload/"):
			return &registrytest.Fault{Status: http.StatusForbidden}
		}
		return nil
	})
	listing.Fail(func(r *http.Request) *registrytest.Fault {
		_, password, _ := r.BasicAuth()
		if password == "" || !strings.HasSuffix(r.URL.Path, "/tags/list") {
			return nil
		}
		return &registrytest.Fault{Serve: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"tags":[%s,%s]}`, asJSON("listed "+password), asJSON(r.Header.Get("Authorization")))
		}}
	})
	malformed.Fail(func(r *http.Request) *registrytest.Fault {
		if r.Header.Get("Authorization") == "" {
			return nil
		}
		return &registrytest.Fault{Serve: func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", r.Header.Get("Authorization"))
		}}
	})
	tokened.Fail(func(r *http.Request) *registrytest.Fault {
		if r.Method != http.MethodPost && r.URL.Path != "/token" {
			return nil
		}
		return &registrytest.Fault{Serve: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				fmt.Fprintf(w, `{"token":%s}`, asJSON(planted["a token"]))
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+tokened.URL()+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":%s}]}`, asJSON("not "+r.Header.Get("Authorization")))
		}}
	})
	signed.Fail(func(r *http.Request) *registrytest.Fault {
		switch {
		case strings.HasPrefix(r.URL.Path, "/storage"):
			return &registrytest.Fault{Serve: func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprintf(w, "<Error><SignatureProvided>%s</SignatureProvided> %s</Error>", r.URL.Query().Get("X-Signature"), r.URL.RawQuery)
			}}
		case strings.Contains(r.URL.Path, "/blobs/sha256:"):
			return &registrytest.Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{
				"Location": {"/storage?X-Signature=PLANTED%2Fsignature%2B8%3D&X-Date=1"},
			}}
		}
		return nil
	})

	helperLog := filepath.Join(s.helpers, "calls")
	script := "#!/bin/sh\nread -r host\necho \"$@\" >> " + helperLog + "\ntr '\\0' ' ' < /proc/$PPID/cmdline >> " + helperLog + " 2>/dev/null\n" +
		`printf '%s\n' '{"ServerURL":"x","Username":"<token>","Secret":` + asJSON(planted["an identity token"]) + `}'` + "\n"
	write(t, filepath.Join(s.helpers, "docker-credential-planted"), script, 0o700)
	auths := fmt.Sprintf(`{"credHelpers": {%q: "planted", %q: "planted"}, "auths": {%q: {"auth": %q}}}`, identity.Host(), posted.Host(), docker.Host(),
		base64.StdEncoding.EncodeToString([]byte("me:"+planted["docker's file"])))
	write(t, filepath.Join(s.home, ".docker", "config.json"), auths, 0o600)
	configuration := "version: 1\nregistries:\n"
	for _, server := range []*registrytest.Server{source, echoing, malformed, leading, listing} {
		configuration += fmt.Sprintf("  %q: {username: me, password: %q}\n", server.Host(), planted["configuration"])
	}
	configuration += fmt.Sprintf("  %q: {username: me, password: \"${PLANTED}\"}\n", tokens.Host())
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer proxy.Close()
	proxyURL := &url.URL{Scheme: "http", User: url.UserPassword("me", planted["a proxy"]), Host: proxy.Listener.Addr().String()}
	configuration += fmt.Sprintf("  proxied.invalid: {proxy: %q}\n", proxyURL)
	configuration += "sync:\n"
	for _, to := range []string{
		tokens.Host(), identity.Host(), docker.Host(), echoing.Host(), malformed.Host(), tokened.Host(), leading.Host(), posted.Host(), "proxied.invalid",
	} {
		configuration += fmt.Sprintf("  - {from: %s/app:1, to: %s/app}\n", source.Host(), to)
	}
	configuration += fmt.Sprintf("  - {from: %s/app, to: %s/listed, tags: {include: [\"*\"]}}\n", listing.Host(), tokens.Host())
	configuration += fmt.Sprintf("  - {from: %s/app:1, to: %s/copy}\n", signed.Host(), tokens.Host())
	write(t, s.config, configuration, 0o600)

	reports := filepath.Join(t.TempDir(), "reports")
	args := []string{"sync", "-v", "--debug", "-c", s.config}
	for _, name := range []string{"r.json", "r.xml", "r.txt"} {
		write(t, filepath.Join(reports, name), "", 0o600)
		args = append(args, "--report", filepath.Join(reports, name))
	}
	printed := s.run("", nil, args...)
	for _, server := range []*registrytest.Server{tokens, identity, docker} {
		if server.ManifestDigest("app", "1") != image.Digest() {
			t.Errorf("%s has no image: a secret did not arrive, and the test proves nothing:\n%s", server.Host(), printed)
		}
	}
	for _, needed := range []string{
		"DENIED ***: you sent Basic ***", "malformed MIME header: missing colon: \"Basic ***", "not Bearer ***", "<SignatureProvided>***",
		"/upload/***", "refresh_token=***", `"listed ***"`,
	} {
		if !strings.Contains(printed, needed) {
			t.Errorf("%q was not printed: the test proves nothing:\n%s", needed, printed)
		}
	}
	s.run("", nil, "sync", "-v", "--debug", "-c", s.config, "-o", "json")
	s.run("", nil, "sync", "-v", "--debug", "-c", s.config, "--progress", "json")
	s.run("", nil, "diff", "-v", "--debug", "-c", s.config)
	s.run("", nil, "config", "check", "-c", s.config)
	s.run("", []string{"HTTPS_PROXY=http://me:" + planted["the proxy of all"] + "@[", "NO_PROXY="}, "digest", "--debug", "registry.invalid/app:1")
	s.run(planted["stdin"], nil, "login", "--debug", echoing.Host(), "-u", "me", "--password-stdin")
	s.run(planted["stdin"], nil, "login", "--debug", malformed.Host(), "-u", "me", "--password-stdin")

	if n := s.files(reports); n != 3 {
		t.Errorf("%d reports", n)
	}
	if n := s.files(s.state); n == 0 {
		t.Error("there is no state")
	}
	calls, err := os.ReadFile(helperLog)
	if err != nil || !strings.Contains(string(calls), "get") {
		t.Errorf("the helper was not called: %v", err)
	}
	if found := leaks(string(calls)); len(found) > 0 {
		t.Errorf("arguments have the secret of %q: %s", found, calls)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
