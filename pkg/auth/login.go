package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNotFound: no credential is kept there, so that none can be removed.
var ErrNotFound = errors.New("not logged in")

// Saved is where a credential went.
type Saved struct {
	// Where is the path of the file, or the name of the helper's program.
	Where string
	// Encrypted is true where a helper keeps it; how is the helper's business.
	Encrypted bool
}

// Save keeps a credential for a registry, or, where path is not empty, for its repositories
// at and below that path. It goes to the credential helper that the file names, else into
// the file. docker finds it there (podman, too, where there is a path). Whoever else writes
// the file with Save or Remove waits; all that the file says besides stays.
func (f *File) Save(ctx context.Context, host, path string, c Credential) (Saved, error) {
	p := placeOf(host + "/" + path)
	saved := Saved{Where: f.path}
	err := edit(ctx, f.path, func(raw settings, d *document) error {
		entry := encodeEntry(c)
		if h := f.helper(d, p); h != nil {
			if err := h.store(ctx, p, c); err != nil {
				return err
			}
			saved = Saved{Where: h.program, Encrypted: true}
			entry = encodeEntry(Credential{}) // as docker does: it says who was logged in
		}
		return raw.setAuth(p.key(), entry)
	})
	if err != nil {
		return Saved{}, fmt.Errorf("save the credentials of %s: %w", p, err)
	}
	return saved, nil
}

// Remove forgets the credential that Save or docker login kept for the same host and path,
// under all names that they may have given it, in the file and in its helper. It returns an
// [ErrNotFound] where there was none.
func (f *File) Remove(ctx context.Context, host, path string) error {
	p := placeOf(host + "/" + path)
	err := edit(ctx, f.path, func(raw settings, d *document) error {
		keys := d.keysOf(p)
		erased := false
		if h := f.helper(d, p); h != nil {
			var err error
			if erased, err = h.erase(ctx, p); err != nil {
				return err
			}
		}
		if len(keys) == 0 && !erased {
			return ErrNotFound
		}
		return raw.removeAuths(keys)
	})
	if err != nil {
		return fmt.Errorf("remove the credentials of %s: %w", p, err)
	}
	return nil
}

// settings is the whole file, whatever is in it.
type settings map[string]json.RawMessage

func (s settings) setAuth(key string, entry any) error {
	return s.editAuths(func(auths settings) error {
		raw, err := json.Marshal(entry)
		auths[key] = raw
		return err
	})
}

func (s settings) removeAuths(keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return s.editAuths(func(auths settings) error {
		for _, key := range keys {
			delete(auths, key)
		}
		return nil
	})
}

func (s settings) editAuths(change func(settings) error) error {
	auths := settings{}
	if raw, found := s["auths"]; found {
		if err := json.Unmarshal(raw, &auths); err != nil {
			return err
		}
	}
	if auths == nil { // "auths": null
		auths = settings{}
	}
	if err := change(auths); err != nil {
		return err
	}
	raw, err := json.Marshal(auths)
	s["auths"] = raw
	return err
}
