package lab

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Compose is docker-compose.test.yml, up: three registries in containers.
type Compose struct {
	// Plain, Secure (TLS and htpasswd) and Token are the hosts of the registries.
	Plain, Secure, Token string

	tokenServer string
	materials   *Materials
	root        string
	variables   []string
	project     string
	command     []string
}

// Up builds the registries' image, unless the Engine has it already, and starts them. What
// it started, Down stops, also after an error.
func Up(ctx context.Context, materials *Materials) (*Compose, error) {
	root, err := Root(ctx)
	if err != nil {
		return nil, err
	}
	image, err := registryImage(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("registries' image: %w", err)
	}
	c := &Compose{materials: materials, root: root, project: "regsync-e2e-" + strconv.Itoa(os.Getpid())}
	if c.command, err = composeCommand(ctx); err != nil {
		return nil, err
	}
	c.variables = append(os.Environ(), "REGSYNC_E2E_IMAGE="+image, "REGSYNC_E2E_MATERIALS="+materials.Dir)
	for name, host := range map[string]*string{
		"PLAIN": &c.Plain, "SECURE": &c.Secure, "TOKEN": &c.Token, "TOKENSERVER": &c.tokenServer,
	} {
		port, err := UnusedPort(ctx)
		if err != nil {
			return nil, err
		}
		*host = "127.0.0.1:" + port
		c.variables = append(c.variables, "REGSYNC_E2E_"+name+"="+port)
	}
	if err := c.run(ctx, "up", "-d"); err != nil {
		return nil, errors.Join(err, c.Down(ctx))
	}
	if err := c.healthy(ctx); err != nil {
		return nil, errors.Join(err, c.run(ctx, "logs"), c.Down(ctx))
	}
	return c, nil
}

// Down stops the registries and removes what they stored.
func (c *Compose) Down(ctx context.Context) error {
	return c.run(ctx, "down", "--volumes", "--timeout", "2")
}

func (c *Compose) run(ctx context.Context, args ...string) error {
	args = append([]string{"--project-name", c.project, "--file", filepath.Join(c.root, "docker-compose.test.yml")}, args...)
	args = append(c.command[1:len(c.command):len(c.command)], args...)
	command := exec.CommandContext(ctx, c.command[0], args...)
	command.Env = c.variables
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("compose %s: %w", args[len(args)-1], err)
	}
	return nil
}

func (c *Compose) healthy(ctx context.Context) error {
	authority, err := os.ReadFile(c.materials.CA())
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	return errors.Join(
		Healthy(ctx, http.DefaultClient, "http://"+c.Plain+"/v2/"),
		Healthy(ctx, trusting, "https://"+c.Secure+"/v2/"),
		Healthy(ctx, http.DefaultClient, "http://"+c.Token+"/v2/"),
		Healthy(ctx, http.DefaultClient, "http://"+c.tokenServer+"/healthz"),
	)
}

// composeCommand is the Engine's plugin, or the program that came before it.
func composeCommand(ctx context.Context) ([]string, error) {
	plugin := []string{"docker", "compose"}
	if err := exec.CommandContext(ctx, "docker", "compose", "version").Run(); err == nil {
		return plugin, nil
	}
	path, err := exec.LookPath("docker-compose")
	if err != nil {
		return nil, fmt.Errorf("neither docker compose nor docker-compose: %w", err)
	}
	return []string{path}, nil
}

// registryImage builds the image of registry and token server, and returns its name. The
// tag is a sum over all that goes in, so that an image that is there is the right one.
func registryImage(ctx context.Context, root string) (string, error) {
	sum, err := contentSum(os.DirFS(filepath.Join(root, "e2e")), "go.sum", "registry", "tokenserver", "cmd/tokenserver")
	if err != nil {
		return "", err
	}
	image := "regsync-e2e:" + sum[:16]
	if exec.CommandContext(ctx, "docker", "image", "inspect", image).Run() == nil {
		return image, nil
	}
	dir, err := os.MkdirTemp("", "regsync-e2e-image-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "e2e", "registry"))); err != nil {
		return "", err
	}
	if _, err := BuildRegistry(ctx, dir); err != nil {
		return "", err
	}
	if _, err := build(ctx, filepath.Join(root, "e2e"), "./cmd/tokenserver", filepath.Join(dir, "tokenserver")); err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, "docker", "build", "--tag", image, dir)
	// The Engine's own builder needs no plugin, and FROM scratch nothing from elsewhere.
	command.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	_, err = output(command)
	return image, err
}

// contentSum is a SHA-256 over the names and contents of files, and of those in folders.
func contentSum(files fs.FS, names ...string) (string, error) {
	hash := sha256.New()
	for _, name := range names {
		err := fs.WalkDir(files, name, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			file, err := files.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			fmt.Fprintf(hash, "%s\x00", path)
			_, err = io.Copy(hash, file)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
