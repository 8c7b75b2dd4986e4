package transfer

import (
	"errors"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/deliver"
)

// The name and the values of a remembered ability: whether a registry accepts the attestations in an index.
const (
	abilityAttestations  = "attestations"
	attestationsAccepted = "accepted"
	attestationsRefused  = "refused"
)

// attestations knows which registries refuse the attestations in an index, in this run or an earlier one.
type attestations struct {
	memory  AbilityMemory // may be nil
	recheck bool          // ignores earlier runs

	mu    sync.Mutex
	known map[string]bool // whether they are refused, by registry
}

// refused reports whether the registry of a target is known to refuse attestations.
func (a *attestations) refused(to content.Target) bool {
	registry := to.Location().Registry
	a.mu.Lock()
	refused, known := a.known[registry]
	a.mu.Unlock()
	if known || a.memory == nil || a.recheck {
		return refused
	}
	seen, _ := a.memory.Ability(registry, abilityAttestations)
	a.mu.Lock()
	defer a.mu.Unlock()
	if refused, known = a.known[registry]; !known {
		refused = seen == attestationsRefused
		a.known[registry] = refused
	}
	return refused
}

// learn records that a registry has accepted or refused attestations.
func (a *attestations) learn(to content.Target, refused bool) {
	registry, seen := to.Location().Registry, attestationsAccepted
	if refused {
		seen = attestationsRefused
	}
	a.mu.Lock()
	before, known := a.known[registry]
	a.known[registry] = refused
	a.mu.Unlock()
	if a.memory != nil && (refused || a.recheck) && (!known || before != refused) {
		a.memory.KeepAbility(registry, abilityAttestations, seen)
	}
}

// attestationsIn returns the digests of the attestations in the index that a plan copies.
func (p *Plan) attestationsIn() (all []digest.Digest) {
	if p == nil || p.tree == nil {
		return nil
	}
	for _, child := range p.tree.Root.Manifests {
		if content.IsAttestation(child) {
			all = append(all, child.Digest)
		}
	}
	return all
}

// refusesAttestations reports whether err is the destination's refusal of an attestation in the index of a plan, or of the
// index because of it. A refused referrer is another matter.
func (p *Plan) refusesAttestations(err error) bool {
	if _, attached := errors.AsType[*ReferrersError](err); attached || !errors.Is(err, content.ErrImagesOnly) {
		return false
	}
	inside := p.attestationsIn()
	refusal, ok := errors.AsType[deliver.Refusal](err)
	return ok && len(inside) > 0 && (refusal.Manifest == p.tree.Root.Descriptor.Digest || slices.Contains(inside, refusal.Manifest))
}
