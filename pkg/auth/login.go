package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// ErrNotFound: there is no credential to remove.
var ErrNotFound = errors.New("not logged in")

// Saved is where a credential was stored.
type Saved struct {
	// Where is the path of the file, or the name of the helper's program.
	Where string
	// Encrypted is true if a helper keeps it; the helper decides how.
	Encrypted bool
}

// Save keeps a credential for a registry or, if path is not empty, for its repositories at and below that path: in the
// credential helper that the file names, else in the file. Docker finds it there, and Podman also if there is a path. Other
// calls of Save and Remove for the same file, in any process, wait. The rest of the file stays as it is.
func (f *File) Save(ctx context.Context, host, path string, c Credential) (Saved, error) {
	p := placeOf(host + "/" + path)
	saved := Saved{Where: f.path}
	err := edit(ctx, f.path, func(raw settings, d *document) error {
		entry := encodeEntry(c)
		if h := d.helper(p, f.path); h != nil {
			if err := h.store(ctx, p, c); err != nil {
				return err
			}
			saved = Saved{Where: h.program, Encrypted: true}
			entry = encodeEntry(Credential{}) // as docker does: it says who was logged in
		}
		text, err := json.Marshal(entry) //nolint:gosec // the file is where the password is kept
		if err != nil {
			return err
		}
		return raw.editAuths(func(auths settings) { auths[p.key()] = text })
	})
	if err != nil {
		return Saved{}, fmt.Errorf("save credentials for %s: %w", p, err)
	}
	return saved, nil
}

// Remove removes the credential that Save or docker login kept for the same host and path, under all names that they may
// have given it, from the file and its helper. It returns an [ErrNotFound] if there was none.
func (f *File) Remove(ctx context.Context, host, path string) error {
	p := placeOf(host + "/" + path)
	err := edit(ctx, f.path, func(raw settings, d *document) error {
		keys := d.keysOf(p)
		erased := false
		if h := d.helper(p, f.path); h != nil {
			var err error
			if erased, err = h.erase(ctx, p); err != nil {
				return err
			}
		}
		if len(keys) == 0 {
			if erased {
				return nil
			}
			return ErrNotFound
		}
		return raw.editAuths(func(auths settings) {
			for _, key := range keys {
				delete(auths, key)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("remove credentials for %s: %w", p, err)
	}
	return nil
}

// settings is the whole file, or its entries of credentials, with all that is in it.
type settings map[string]json.RawMessage

// editAuths changes the entries of credentials, each of which is kept as it is written.
func (s settings) editAuths(change func(auths settings)) error {
	auths := settings{}
	if raw, found := s["auths"]; found {
		if err := json.Unmarshal(raw, &auths); err != nil {
			return err
		}
	}
	if auths == nil { // "auths": null
		auths = settings{}
	}
	change(auths)
	raw, err := json.Marshal(auths)
	s["auths"] = raw
	return err
}

// edit reads a file, passes it to change, and replaces it by the changed one: whole or not at all. Processes of ours edit a
// file one after another.
func edit(ctx context.Context, path string, change func(settings, *document) error) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	lock, err := lockBeside(ctx, path)
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	defer func() { _ = lock.Close() }()

	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d, err := parseDocument(path, old)
	if err != nil {
		return err
	}
	raw := settings{}
	if len(bytes.TrimSpace(old)) > 0 {
		if err := json.Unmarshal(old, &raw); err != nil {
			return err
		}
	}
	if raw == nil { // null
		raw = settings{}
	}
	if err := change(raw, d); err != nil {
		return err
	}
	var changed bytes.Buffer
	encoder := json.NewEncoder(&changed)
	encoder.SetIndent("", "\t") // as docker does
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(raw); err != nil || bytes.Equal(old, changed.Bytes()) {
		return err
	}
	return replace(path, changed.Bytes())
}

// lockBeside locks a file beside path, which belongs to the owner of path.
func lockBeside(ctx context.Context, path string) (*flock.Flock, error) {
	file, err := os.OpenFile(path+".lock", os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(keepOwner(path, file), file.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	_, err = lock.TryLockContext(ctx, 20*time.Millisecond)
	return lock, err
}

// resolve follows symbolic links, also to a file that does not exist yet: not the link is replaced, but its file.
func resolve(path string) (string, error) {
	for range 32 {
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case info.Mode().IsRegular():
			return path, nil
		case info.Mode()&fs.ModeSymlink == 0:
			return "", fmt.Errorf("%s is not a regular file", path)
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path)) // what ".." in target starts from
			if err != nil {
				return "", err
			}
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// replace writes a file of mode 0600 beside path, syncs it and renames it to path. After an error the old file is unchanged.
func replace(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	temporary, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temporary.Close()
			_ = os.Remove(temporary.Name())
			err = fmt.Errorf("%w (the old file is unchanged)", err)
		}
	}()
	if err := keepOwner(path, temporary); err != nil {
		return err
	}
	if _, err := temporary.Write(data); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	syncDir(dir)
	return nil
}
