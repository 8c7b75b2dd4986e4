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
		if h := f.helper(d, p); h != nil {
			if err := h.store(ctx, p, c); err != nil {
				return err
			}
			saved = Saved{Where: h.program, Encrypted: true}
			entry = encodeEntry(Credential{}) // as docker does: it says who was logged in
		}
		text, err := json.Marshal(entry)
		if err != nil {
			return err
		}
		return raw.editAuths(func(auths settings) { auths[p.key()] = text })
	})
	if err != nil {
		return Saved{}, fmt.Errorf("save the credentials of %s: %w", p, err)
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
		if h := f.helper(d, p); h != nil {
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
		return fmt.Errorf("remove the credentials of %s: %w", p, err)
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
