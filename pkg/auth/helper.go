package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
)

// HelperError is the failure of a credential helper.
type HelperError struct {
	// Helper is the program, "docker-credential-pass".
	Helper string
	// Action is what it was asked to do: get, store or erase.
	Action string
	// For is the host, or host/path, that it was asked about.
	For string
	// Setting is where the helper is named: "credsStore in /home/me/.docker/config.json".
	Setting string
	// Err is how it failed: an exec.ErrNotFound where there is no such program.
	Err error
	// Output is the first line of what it said.
	Output string
}

func (e *HelperError) Error() string {
	text := fmt.Sprintf("credential helper %s: %s %s: ", e.Helper, e.Action, e.For)
	switch {
	case errors.Is(e.Err, exec.ErrNotFound):
		return text + fmt.Sprintf("there is no such program in PATH; install it, or take it out of %s", e.Setting)
	case e.Output != "":
		text += e.Output + ": "
	}
	return text + fmt.Sprintf("%v; try it by hand, or take it out of %s", e.Err, e.Setting)
}

func (e *HelperError) Unwrap() error { return e.Err }

// tokenUser is the user name that says that the secret is an identity token (docker's
// convention with its helpers).
const tokenUser = "<token>"

// helperTime is how long a helper may take. A helper that waits for input, or for a service that is down, would
// otherwise block a run for good.
const helperTime = 30 * time.Second

// helper is a program that keeps credentials.
type helper struct {
	program string
	setting string
	time    time.Duration // for one run
}

func newHelper(name, setting string) *helper {
	return &helper{program: "docker-credential-" + name, setting: setting, time: helperTime}
}

// get returns the anonymous credential where the helper knows none.
func (h *helper) get(ctx context.Context, p place) (Credential, error) {
	run := h.run(ctx)
	found, err := client.Get(run.program, p.key())
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		return Credential{}, nil
	case err != nil && run.err == nil:
		return Credential{}, h.failure("get", p, errors.New("its answer is not JSON"), "")
	case err != nil:
		return Credential{}, h.failure("get", p, run.err, run.firstLine())
	case found.Username == tokenUser:
		return Credential{IdentityToken: Secret(found.Secret)}, nil
	default:
		return Credential{Username: found.Username, Password: Secret(found.Secret)}, nil
	}
}

func (h *helper) store(ctx context.Context, p place, c Credential) error {
	kept := &credentials.Credentials{ServerURL: p.key(), Username: c.Username, Secret: c.Password.Reveal()}
	if c.IdentityToken != "" {
		kept.Username, kept.Secret = tokenUser, c.IdentityToken.Reveal()
	}
	run := h.run(ctx)
	if err := client.Store(run.program, kept); err != nil {
		return h.failure("store", p, run.err, run.firstLine())
	}
	return nil
}

// erase reports whether there was something to erase.
func (h *helper) erase(ctx context.Context, p place) (bool, error) {
	known, err := h.get(ctx, p)
	if err != nil || known.Anonymous() {
		return false, err
	}
	run := h.run(ctx)
	if err := client.Erase(run.program, p.key()); err != nil {
		return false, h.failure("erase", p, run.err, run.firstLine())
	}
	return true, nil
}

func (h *helper) failure(action string, p place, err error, output string) error {
	return &HelperError{Helper: h.program, Action: action, For: p.String(), Setting: h.setting, Err: err, Output: output}
}

// helperRun is one run of the program. It keeps the error that package client flattens into
// a text, and keeps what the program says on stderr away from our own.
type helperRun struct {
	ctx  context.Context
	name string
	time time.Duration

	input          io.Reader
	action         string
	stdout, stderr bytes.Buffer
	err            error
}

var _ client.Program = (*helperRun)(nil)

func (h *helper) run(ctx context.Context) *helperRun {
	return &helperRun{ctx: ctx, name: h.program, time: h.time}
}

func (r *helperRun) program(args ...string) client.Program {
	r.action = args[0]
	return r
}

// Input implements client.Program.
func (r *helperRun) Input(in io.Reader) { r.input = in }

// Output implements client.Program.
func (r *helperRun) Output() ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(r.ctx, r.time, fmt.Errorf("no answer within %v", r.time))
	defer cancel()
	command := exec.CommandContext(ctx, r.name, r.action)
	command.WaitDelay = time.Second // for a child of the helper that keeps our pipe
	command.Stdin, command.Stdout, command.Stderr = r.input, &r.stdout, &r.stderr
	if r.err = command.Run(); r.err != nil && ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
	return r.stdout.Bytes(), r.err
}

// firstLine is what a helper that failed says about it, on stdout by docker's convention.
// A helper that prints credentials and fails is not quoted.
func (r *helperRun) firstLine() string {
	for _, output := range []string{r.stdout.String(), r.stderr.String()} {
		line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
		if line != "" && !strings.Contains(output, "{") {
			return line[:min(len(line), 200)]
		}
	}
	return ""
}
