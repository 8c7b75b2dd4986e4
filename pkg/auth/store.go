package auth

import "context"

// Store knows credentials.
type Store interface {
	// Credential is who one is for a repository of a registry, or, with an empty
	// repository, for the registry as a whole. It is the anonymous credential where the
	// store knows none. Where several apply, that of the longest path wins. It may be
	// called concurrently.
	Credential(ctx context.Context, host, repository string) (Credential, error)
}

// Chain asks the stores in turn, until one knows a credential or fails.
func Chain(stores ...Store) Store { return chain(stores) }

type chain []Store

var _ Store = chain(nil)

func (c chain) Credential(ctx context.Context, host, repository string) (Credential, error) {
	for _, store := range c {
		if found, err := store.Credential(ctx, host, repository); err != nil || !found.Anonymous() {
			return found, err
		}
	}
	return Credential{}, nil
}

// Static holds the credentials of the command line or of a configuration, by "host[:port]"
// or "host/path".
func Static(credentials map[string]Credential) Store {
	s := make(static, len(credentials))
	for key, c := range credentials {
		s[placeOf(key)] = c
	}
	return s
}

type static map[place]Credential

var _ Store = static(nil)

func (s static) Credential(_ context.Context, host, repository string) (Credential, error) {
	for p := range placesFor(host, repository) {
		if c := s[p]; !c.Anonymous() {
			return c, nil
		}
	}
	return Credential{}, nil
}
