// Package tool builds the compared tools and makes their commands. Start with Open. docs/performance.md says how the
// settings of the peers were chosen.
package tool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/regsync/regsync/e2e/lab"

	"github.com/regsync/regsync/bench/internal/launch"
)

// Job is what a tool is asked to copy.
type Job struct {
	From string   // host and port
	To   []string // hosts and ports; each gets everything
	// Repositories have the same names on both sides.
	Repositories []Repository
	// Dir is the working folder of the tool. It is kept between runs of which the second has nothing to do.
	Dir string
	// Distant says that a round trip takes long, so that more requests at a time are worth their cost.
	Distant bool
	// CA is a PEM file if the registries speak TLS; without it they speak plain http.
	CA string
}

// Repository is one repository of a job.
type Repository struct {
	Name string
	Tags []string // all that it has
	// ByTag says that the user named the tags. Otherwise the tool lists the repository.
	ByTag bool
}

// Tool is one tool.
type Tool struct {
	Name    string
	Version string
	// Settings say how it is run, for people.
	Settings string
	// Stateful says that a run remembers something for the next one.
	Stateful bool

	path  string
	batch func(path string, j Job) (launch.Batch, error)
}

// Batch returns the commands of a job.
func (t *Tool) Batch(j Job) (launch.Batch, error) {
	b, err := t.batch(t.path, j)
	if err != nil {
		return launch.Batch{}, fmt.Errorf("%s: %w", t.Name, err)
	}
	b.Dir = j.Dir
	b.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + j.Dir, "TMPDIR=" + j.Dir, "XDG_RUNTIME_DIR=" + j.Dir,
		"DOCKER_CONFIG=" + j.Dir, "NO_PROXY=*",
	}
	if j.CA != "" {
		b.Env = append(b.Env, "SSL_CERT_FILE="+j.CA)
	}
	return b, nil
}

// Names are the names of all tools.
func Names() []string { return []string{"regsync", "regclient", "crane", "oras", "skopeo"} }

// Open builds the tool of a name into dir. For regsync, binary is one that is built already, if it is not empty.
func Open(ctx context.Context, name, dir, binary string) (*Tool, error) {
	switch name {
	case "regsync":
		return openRegsync(ctx, dir, binary)
	case "regclient":
		return openModule(ctx, dir, regclient(), "github.com/regclient/regclient", "cmd/regsync")
	case "crane":
		return openModule(ctx, dir, crane(), "github.com/google/go-containerregistry", "cmd/crane")
	case "oras":
		return openModule(ctx, dir, oras(), "oras.land/oras", "cmd/oras")
	case "skopeo":
		return openSkopeo(ctx)
	}
	return nil, fmt.Errorf("no tool is called %q; there are %s", name, strings.Join(Names(), ", "))
}

func openRegsync(ctx context.Context, dir, binary string) (*Tool, error) {
	t := regsync()
	var err error
	if binary == "" {
		if binary, err = lab.BuildRegsync(ctx, dir); err != nil {
			return nil, err
		}
	}
	if t.path, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	t.Version, err = output(exec.CommandContext(ctx, t.path, "version"))
	return t, err
}

func openModule(ctx context.Context, dir string, t *Tool, module, pkg string) (*Tool, error) {
	version, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", module))
	if err != nil {
		return nil, err
	}
	t.Version, t.path = version, filepath.Join(dir, t.Name)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", t.path, module+"/"+pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	_, err = output(build)
	return t, err
}

func openSkopeo(ctx context.Context) (*Tool, error) {
	t := skopeo()
	path, err := exec.LookPath("skopeo")
	if err != nil {
		return nil, fmt.Errorf("install Debian's package skopeo: %w", err)
	}
	t.path = path
	t.Version, err = output(exec.CommandContext(ctx, path, "--version"))
	t.Version = strings.TrimPrefix(t.Version, "skopeo version ")
	return t, err
}

func output(command *exec.Cmd) (string, error) {
	text, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(text)), err
}
