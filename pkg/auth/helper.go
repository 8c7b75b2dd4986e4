package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/docker/docker-credential-helpers/credentials"
)

// HelperError is the failure of a credential helper.
type HelperError struct {
	// Helper is the program, "docker-credential-pass".
	Helper string
	// Action is the failed action: get, store or erase.
	Action string
	// For is the host or host/path.
	For string
	// Setting is where the helper is named: "credsStore in /home/me/.docker/config.json".
	Setting string
	// Err is the cause: an exec.ErrNotFound if the program does not exist.
	Err error
	// Output is the first line that it printed.
	Output string
}

func (e *HelperError) Error() string {
	text := fmt.Sprintf("credential helper %s: %s %s: ", e.Helper, e.Action, e.For)
	switch {
	case errors.Is(e.Err, exec.ErrNotFound):
		return text + fmt.Sprintf("executable not found in $PATH; install it, or remove it from %s", e.Setting)
	case e.Output != "":
		text += e.Output + ": "
	}
	return text + fmt.Sprintf("%v; run it by hand, or remove it from %s", e.Err, e.Setting)
}

func (e *HelperError) Unwrap() error { return e.Err }

// tokenUser is the user name that says that the secret is an identity token (docker's
// convention with its helpers).
const tokenUser = "<token>"

// helperTime is how long a helper may take. A helper that waits for input, or for a service that is down, would
// otherwise block a run for good.
const helperTime = 30 * time.Second

// helper is a program that keeps credentials, with the protocol of docker-credential-helpers. Its package client
// is not used, because it flattens the error of the program into a text.
type helper struct {
	program string
	setting string
	time    time.Duration // for one run
}

func newHelper(name, setting string) *helper {
	return &helper{program: "docker-credential-" + name, setting: setting, time: helperTime}
}

// get returns the anonymous credential if the helper knows none.
func (h *helper) get(ctx context.Context, p place) (Credential, error) {
	output, err := h.run(ctx, credentials.ActionGet, p, p.key())
	if err != nil {
		if credentials.IsErrCredentialsNotFoundMessage(output) {
			return Credential{}, nil
		}
		return Credential{}, err
	}
	var found credentials.Credentials
	if json.NewDecoder(strings.NewReader(output)).Decode(&found) != nil {
		return Credential{}, h.failure(credentials.ActionGet, p, errors.New("output is not JSON"))
	}
	if found.Username == tokenUser {
		return Credential{IdentityToken: Secret(found.Secret)}, nil
	}
	return Credential{Username: found.Username, Password: Secret(found.Secret)}, nil
}

func (h *helper) store(ctx context.Context, p place, c Credential) error {
	kept := credentials.Credentials{ServerURL: p.key(), Username: c.Username, Secret: c.Password.Reveal()}
	if c.IdentityToken != "" {
		kept.Username, kept.Secret = tokenUser, c.IdentityToken.Reveal()
	}
	input, err := json.Marshal(kept) //nolint:gosec // the helper is where the secret is kept
	if err == nil {
		_, err = h.run(ctx, credentials.ActionStore, p, string(input))
	}
	return err
}

// erase reports whether there was something to erase.
func (h *helper) erase(ctx context.Context, p place) (bool, error) {
	known, err := h.get(ctx, p)
	if err != nil || known.Anonymous() {
		return false, err
	}
	_, err = h.run(ctx, credentials.ActionErase, p, p.key())
	return err == nil, err
}

// run returns what the program prints on stdout, also if it fails. What it prints on stderr is kept away from our own.
func (h *helper) run(ctx context.Context, action string, p place, input string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.time, fmt.Errorf("no response within %v", h.time))
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, h.program, action)
	command.WaitDelay = time.Second // for a child of the helper that keeps our pipe
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &stdout, &stderr
	err := command.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	failure := h.failure(action, p, err)
	// By docker's convention, the reason is on stdout. A helper that prints credentials and fails is not quoted.
	for _, output := range []string{stdout.String(), stderr.String()} {
		line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
		if failure.Output == "" && !strings.Contains(output, "{") {
			failure.Output = line[:min(len(line), 200)]
		}
	}
	return stdout.String(), failure
}

func (h *helper) failure(action string, p place, err error) *HelperError {
	return &HelperError{Helper: h.program, Action: action, For: p.String(), Setting: h.setting, Err: err}
}
