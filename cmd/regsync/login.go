package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/regsync/regsync/cmd/regsync/internal/prompt"
	"github.com/regsync/regsync/pkg/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// loginVerifier checks credentials; a [registry.Client] is one.
type loginVerifier interface {
	// Login tries once. A refusal is a content.ErrUnauthorized in the registry's words. verified is false if the
	// registry may accept any credential.
	Login(ctx context.Context, host string, c auth.Credential) (verified bool, err error)
}

// login is one run of the command.
type login struct {
	app *app
	// registry says which verifier to ask.
	registry func() (loginVerifier, error)

	username      string
	password      string
	passwordStdin bool
}

func newLoginCommand(a *app, registry func() (loginVerifier, error)) *cobra.Command {
	l := &login{app: a, registry: registry}
	cmd := &cobra.Command{
		Use:   "login [HOST[/PATH]]",
		Short: "Log in to a registry",
		Long: `Log in to a registry: verify the user name and the password, and store them where Docker
does: in the credential helper named in Docker's config.json, or unencrypted in that file.
regsync and docker use the same stored logins.

Without HOST, the registry is Docker Hub. With PATH, the login is used only for repositories at
and below that path, as with podman.

Some registries accept any password. To detect this, login also tries a wrong password, as user
regsync-login-check. It skips this test for services that are known to verify passwords, such
as Docker Hub. If the wrong password is accepted, login prints a warning.`,
		Example: `  regsync login -u me                                        # Docker Hub; asks for the password
  regsync login harbor.corp:5443 -u me --password-stdin < token.txt
  regsync login harbor.corp/team -u 'robot$team+sync' --password-stdin < robot.txt`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			host := ""
			if len(args) > 0 {
				host = args[0]
			}
			return l.run(cmd.Context(), host)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&l.username, "username", "u", "", "user name (default: ask for it)")
	flags.StringVarP(&l.password, "password", "p", "", "password; visible to other users in the process list, so prefer --password-stdin")
	flags.BoolVar(&l.passwordStdin, "password-stdin", false, "read the password from stdin")
	return cmd
}

func (l *login) run(ctx context.Context, argument string) error {
	host, path, err := reference.ParseRegistry(argument)
	if err != nil {
		return &usageError{err}
	}
	if err := l.readScheme(argument, host); err != nil {
		return err
	}
	file, err := auth.DockerFile(l.app.getenv)
	if err != nil {
		return err
	}
	c, err := l.credential(ctx)
	if err != nil {
		return err
	}
	registry, err := l.registry()
	if err != nil {
		return err
	}
	verified, err := registry.Login(ctx, host, c)
	if err != nil {
		return &loginError{host: host, username: c.Username, err: err}
	}
	saved, err := file.Save(ctx, host, path, c)
	if err != nil {
		return err
	}
	if err := l.warnUnused(host, path); err != nil {
		return err
	}
	return l.report(host, path, c.Username, verified, saved)
}

// readScheme obeys the scheme of a URL: with https://, the password is not sent over plain HTTP.
func (l *login) readScheme(argument, host string) error {
	flags := &l.app.flags
	switch scheme, _, found := strings.Cut(strings.ToLower(argument), "://"); {
	case !found:
	case scheme == "http":
		return usageWithHint(errors.New("a login takes a host, not an http:// URL"), "for plain HTTP: --plain-http "+host+" "+host)
	case slices.Contains(flags.plainHTTP, host):
		return usagef("%s and --plain-http %s contradict each other", argument, host)
	default:
		flags.tlsOnly = append(flags.tlsOnly, host)
	}
	return nil
}

// warnUnused warns of a login in the configuration, which is used before those of files.
func (l *login) warnUnused(host, path string) error {
	settings, err := l.app.configuration()
	if err != nil {
		return err
	}
	var used config.Registry
	for _, r := range settings.Registries {
		covers := r.Path == "" || strings.HasPrefix(path+"/", r.Path+"/")
		if r.Host == host && r.Username != "" && covers && len(r.Path) >= len(used.Path) {
			used = r
		}
	}
	if used.Username != "" {
		l.app.warn("%s has a login for %s, which is used instead", place(used.CredentialsAt), used.Name())
	}
	return nil
}

// credential returns the credential of the flags. It asks for what they lack.
func (l *login) credential(ctx context.Context) (c auth.Credential, err error) {
	switch {
	case l.passwordStdin && l.password != "":
		return c, usagef("--password and --password-stdin cannot be used together")
	case l.passwordStdin && l.username == "":
		return c, usagef("--password-stdin requires --username")
	}
	c = auth.Credential{Username: l.username, Password: auth.Secret(l.password)}
	if l.passwordStdin {
		if c.Password, err = readPassword(l.app.Stdin); err != nil {
			return c, err
		}
	} else if err := l.ask(ctx, &c); err != nil {
		return c, err
	}
	switch {
	case c.Username == "":
		return c, usagef("the user name is empty")
	case strings.Contains(c.Username, ":"):
		return c, usagef("the user name contains a colon")
	case c.Password == "":
		return c, usagef("the password is empty")
	}
	// The process list does not show the variable REGSYNC_PASSWORD.
	if l.password != "" && l.password != l.app.getenv(variable("password")) {
		l.app.warn("--password is visible in the process list and in the shell history; use --password-stdin")
	}
	return c, nil
}

// ask completes c at the terminal.
func (l *login) ask(ctx context.Context, c *auth.Credential) error {
	if c.Username != "" && c.Password != "" {
		return nil
	}
	terminal, ok := prompt.On(l.app.Stdin, l.app.Stderr)
	if !ok {
		what, use := "the password", "--password-stdin"
		switch {
		case c.Username == "" && c.Password == "":
			what, use = "the user name", "--username and --password-stdin"
		case c.Username == "":
			what, use = "the user name", "--username"
		}
		return usagef("cannot ask for %s: stdin is not a terminal; use %s", what, use)
	}
	if c.Username == "" {
		name, err := terminal.Line(ctx, "Username: ")
		if err != nil {
			return fmt.Errorf("ask for the user name: %w", err)
		}
		c.Username = strings.TrimSpace(name)
	}
	if c.Password == "" && c.Username != "" {
		password, err := terminal.Secret(ctx, "Password: ")
		if err != nil {
			return fmt.Errorf("ask for the password: %w", err)
		}
		c.Password = auth.Secret(password)
	}
	return nil
}

func (l *login) report(host, path, username string, verified bool, saved auth.Saved) error {
	if !verified {
		l.app.warn("%s may accept any password: the password is stored, but not verified", host)
	}
	if !saved.Encrypted {
		l.app.warn("the password is stored unencrypted in %s; to avoid that, configure a credential helper there (credsStore)", saved.Where)
	}
	if path != "" {
		host += "/" + path
	}
	switch {
	case l.app.flags.json():
		return l.app.printJSON(struct {
			Schema    string `json:"schema"`
			Registry  string `json:"registry"`
			Username  string `json:"username"`
			Verified  bool   `json:"verified"`
			StoredIn  string `json:"storedIn"`
			Encrypted bool   `json:"encrypted"`
		}{"regsync.login/v1", host, username, verified, saved.Where, saved.Encrypted})
	case l.app.flags.quiet:
		return nil
	}
	outcome := "Login Succeeded"
	if !verified {
		outcome = "Login Stored (not verified)"
	}
	_, err := fmt.Fprintln(l.app.Stdout, outcome)
	return err
}

// maxPassword bounds what is read as a password, in bytes. Tokens are shorter.
const maxPassword = 64 << 10

// readPassword reads all of r, without one line break at its end: echo and editors add it.
func readPassword(r io.Reader) (auth.Secret, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPassword+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the password from stdin: %w", err)
	case len(raw) > maxPassword:
		return "", usagef("the password on stdin is longer than %d bytes", maxPassword)
	}
	password, found := strings.CutSuffix(string(raw), "\n")
	if found {
		password = strings.TrimSuffix(password, "\r")
	}
	return auth.Secret(password), nil
}

// loginError is a login that failed. Nothing was stored.
type loginError struct {
	host, username string
	err            error
}

func (e *loginError) Error() string {
	cause := content.AnswerOf(e.err).Reason
	switch {
	case errors.Is(e.err, content.ErrUnauthorized):
		cause = "the registry rejected the user name or password (401)"
	case errors.Is(e.err, content.ErrDenied):
		cause = "the registry does not allow this account to log in (403)"
	}
	return fmt.Sprintf("login to %s as %s failed: %s", e.host, e.username, cause)
}

func (e *loginError) Unwrap() error { return e.err }

func newLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [HOST[/PATH]]",
		Short: "Log out of a registry",
		Long: `Log out of a registry: remove the credentials that regsync login or docker login stored for
HOST, from Docker's config.json and its credential helper. With PATH, only those for that
path are removed. Without HOST, the registry is Docker Hub.`,
		Example: `  regsync logout
  regsync logout harbor.corp:5443`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			registry := ""
			if len(args) > 0 {
				registry = args[0]
			}
			return logout(cmd.Context(), a, registry)
		},
	}
}

func logout(ctx context.Context, a *app, registry string) error {
	host, path, err := reference.ParseRegistry(registry)
	if err != nil {
		return &usageError{err}
	}
	file, err := auth.DockerFile(a.getenv)
	if err != nil {
		return err
	}
	err = file.Remove(ctx, host, path)
	if err != nil && !errors.Is(err, auth.ErrNotFound) {
		return err
	}
	if path != "" {
		host += "/" + path
	}
	removed := err == nil
	var lines []string
	switch {
	case a.flags.quiet:
	case removed:
		lines = []string{"Removing login credentials for " + host}
	default:
		lines = []string{"Not logged in to " + host}
	}
	return printResult(a, struct {
		Schema   string `json:"schema"`
		Registry string `json:"registry"`
		Removed  bool   `json:"removed"` // false if there was no login
	}{"regsync.logout/v1", host, removed}, lines...)
}
