package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/regsync/regsync/internal/flight"
)

// File is a file of credentials in the format of docker and podman. It is read when it is first needed, and each credential
// helper is run once for a host. A new File sees later changes.
type File struct {
	path string
	read func() (*document, error)

	answers flight.Memo[question, answer]
	asking  sync.WaitGroup // runs of helpers; each ends with its last caller
	asked   *atomic.Bool   // set by the only run of a helper; nil if there may be several
}

var _ Store = (*File)(nil)

// NewFile is the file at path. A file that does not exist knows no credentials.
func NewFile(path string) *File {
	return newFile(path, func() (*document, error) {
		raw, err := os.ReadFile(path)
		// HOME=/dev/null, which services set, makes the path one below a file.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return &document{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read credentials: %w", err)
		}
		return parseDocument(path, raw)
	})
}

func newFile(name string, read func() (*document, error)) *File {
	return &File{path: name, read: sync.OnceValues(read)}
}

// ReadableByAll reports whether every user of the machine can read a file, as far as its mode says; always false on Windows,
// where modes say nothing.
func ReadableByAll(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0 && runtime.GOOS != "windows"
}

// Path is where the file is.
func (f *File) Path() string { return f.path }

// Credential implements [Store]. As with docker, a helper is run before the file's own entry is used; for a path only if
// the file has an empty entry for that path, which [File.Save] makes. The error of a helper is a [HelperError].
func (f *File) Credential(ctx context.Context, host, repository string) (Credential, error) {
	d, err := f.read()
	if err != nil {
		return Credential{}, err
	}
	for p := range placesFor(host, repository) {
		if c, err := f.at(ctx, d, p); err != nil || !c.Anonymous() {
			return c, err
		}
	}
	return Credential{}, nil
}

// Logins returns what the file has logins for, as "host" or "host/path", sorted. No helper is called: docker and [File.Save]
// leave an entry in the file for each login that a helper keeps.
func (f *File) Logins() ([]string, error) {
	d, err := f.read()
	if err != nil {
		return nil, err
	}
	var logins []string
	for key := range d.Auths {
		logins = append(logins, placeOf(key).String())
	}
	slices.Sort(logins)
	return slices.Compact(logins), nil
}

func (f *File) at(ctx context.Context, d *document, p place) (Credential, error) {
	kept, listed, err := d.entry(f.path, p)
	if p.path != "" && (!listed || !kept.Anonymous()) {
		return kept, err
	}
	if h := d.helper(p, f.path); h != nil {
		if c, err := f.ask(ctx, h, p); err != nil || !c.Anonymous() {
			return c, err
		}
	}
	return kept, err
}

type question struct {
	program string
	place   place
}

type answer struct {
	credential Credential
	err        error
}

// ask runs a helper, unless it has answered the same question before. A run that ended with its context is no answer.
func (f *File) ask(ctx context.Context, h *helper, p place) (Credential, error) {
	a, _, err := f.answers.Do(ctx, &f.asking, question{h.program, p}, func(ctx context.Context) (answer, error) {
		if f.asked != nil && f.asked.Swap(true) {
			return answer{}, nil
		}
		credential, err := h.get(ctx, p)
		return answer{credential, err}, context.Cause(ctx)
	})
	if err != nil {
		return Credential{}, err
	}
	return a.credential, a.err
}
