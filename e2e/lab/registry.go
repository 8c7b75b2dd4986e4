package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// StartRegistry runs the registry at file as a process until the test ends, with a storage
// of its own, and returns its host. Settings are REGISTRY_… variables.
func StartRegistry(t testing.TB, file string, settings ...string) string {
	t.Helper()
	return NewRegistry(t, file, settings...).Host
}

// Registry is a registry that runs as a process.
type Registry struct {
	Host string
	// Dir is its storage.
	Dir string

	file     string
	settings []string
	process  *exec.Cmd
}

// NewRegistry is StartRegistry for a registry that the test ends and starts again.
func NewRegistry(t testing.TB, file string, settings ...string) *Registry {
	t.Helper()
	r := &Registry{Host: "127.0.0.1:" + FreePort(t), Dir: t.TempDir(), file: file, settings: settings}
	r.Start(t)
	return r
}

// Start starts it, over what its storage has.
func (r *Registry) Start(t testing.TB) {
	t.Helper()
	process, err := RegistryCommand(t.Context(), r.file, r.Host, r.Dir, r.settings...)
	if err != nil {
		t.Fatal(err)
	}
	r.process = process
	start(t, r.process, r.Host)
}

// RegistryCommand is the command that runs the registry at file over the storage in dir. Settings are REGISTRY_…
// variables.
func RegistryCommand(ctx context.Context, file, host, dir string, settings ...string) (*exec.Cmd, error) {
	root, err := Root(ctx)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, file, "serve", filepath.Join(root, "e2e", "registry", "config.yml"))
	command.Env = append(os.Environ(),
		"REGISTRY_HTTP_ADDR="+host,
		"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="+dir,
		"OTEL_TRACES_EXPORTER=none",
	)
	command.Env = append(command.Env, settings...)
	return command, nil
}

// Kill kills it.
func (r *Registry) Kill(t testing.TB) {
	t.Helper()
	if err := r.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.process.Wait() // says that it was killed
}

// Pause stops its process, so that its connections stay open and nothing answers, until Continue.
func (r *Registry) Pause(t testing.TB) { r.signal(t, syscall.SIGSTOP) }

// Continue ends a Pause.
func (r *Registry) Continue(t testing.TB) { r.signal(t, syscall.SIGCONT) }

func (r *Registry) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := r.process.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Empty removes what is in its storage, while it is not running.
func (r *Registry) Empty(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(r.Dir, "docker")); err != nil {
		t.Fatal(err)
	}
}

// Await waits until a file of the registry's repositories has so many bytes.
func (r *Registry) Await(t testing.TB, pattern string, bytes int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(r.Dir, "docker/registry/v2/repositories", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() >= bytes {
				return
			}
		}
	}
	t.Fatalf("no %s in %s", pattern, r.Dir)
}

// StartOlareg runs olareg at file, in memory, until the test ends, and returns its host.
func StartOlareg(t testing.TB, file string) string {
	t.Helper()
	port := FreePort(t)
	host := "127.0.0.1:" + port
	start(t, exec.CommandContext(t.Context(), file, "serve", "--addr", "127.0.0.1", "--port", port, "--store-type", "mem"), host)
	return host
}

// start runs a registry until the test ends.
func start(t testing.TB, command *exec.Cmd, host string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "registry.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context has ended, and with it the process.
		_ = command.Wait()
		text, err := os.ReadFile(log.Name())
		if said := complaints(string(text)); err == nil && said != "" && t.Failed() {
			t.Logf("registry %s said:\n%s", host, said)
		}
	})
	if err := Healthy(t.Context(), http.DefaultClient, "http://"+host+"/v2/"); err != nil {
		t.Fatal(err)
	}
}

// complaints are the lines of a registry's log but those on requests that it refused.
func complaints(log string) string {
	var kept strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "http.response.status=4") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// FreePort is UnusedPort for a test.
func FreePort(t testing.TB) string {
	t.Helper()
	port, err := UnusedPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// UnusedPort returns a loopback port without a listener. It lies outside the range from which
// the kernel assigns ports, so that no other process is given it meanwhile.
func UnusedPort(ctx context.Context) (string, error) {
	listener, err := Listen(ctx)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}

// given has the ports that this process has used. None is given twice, because a proxy that has vanished returns to its own.
var given sync.Map

// Listen listens on such a port.
func Listen(ctx context.Context) (net.Listener, error) {
	const first, count, tries = 10_000, 20_000, 100 // Linux gives 32768 and more, others 49152
	var last error
	for range tries {
		port := first + rand.IntN(count)
		if _, twice := given.LoadOrStore(port, true); twice {
			continue
		}
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return listener, nil
		}
		last = err
	}
	return nil, last
}

// patience is the limit for events that come soon, except on a busy machine.
const patience = 2 * time.Minute

// Healthy waits, for two minutes at most, until a server answers with anything below 500.
func Healthy(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode < http.StatusInternalServerError {
				return nil
			}
			err = fmt.Errorf("%s", response.Status)
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not up: %w", url, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
