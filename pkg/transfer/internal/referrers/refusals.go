package referrers

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/regsync/regsync/pkg/content"
)

// refusals are the kinds of referrers that repositories do not accept. They are remembered between runs, so
// that such a referrer is neither sent nor read at its source, which may limit manifest reads.
type refusals struct {
	abilities Abilities

	mu        sync.Mutex
	inThisRun map[kind]error
	leftOut   map[pushKey]struct{} // the referrers that were left out
}

// kind is a kind of referrer at one repository.
type kind struct {
	at        content.Location
	mediaType string
	artifact  string // the artifact type, or the suffix of cosign's tag
}

func kindAt(at content.Location, r *Referrer) kind {
	d := r.Descriptor
	if r.Tree != nil {
		d = r.Tree.Root.Referrer() // a list entry may lack the artifact type
	}
	k := kind{at, d.MediaType, d.ArtifactType}
	if r.tag != "" {
		k.artifact = r.tag[strings.LastIndex(r.tag, "."):]
	}
	return k
}

func (k kind) ability() string {
	return fmt.Sprintf("accept %s %s in %s", k.mediaType, k.artifact, k.at.Repository)
}

var errRefusedEarlier = errors.New("the registry did not accept it in an earlier run")

// known returns why a repository does not accept a referrer, or nil if no refusal is known. With thisRunOnly,
// refusals of earlier runs are ignored.
func (s *refusals) known(at content.Location, r *Referrer, thisRunOnly bool) error {
	k := kindAt(at, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.inThisRun[k]
	if err == nil && !thisRunOnly && s.abilities != nil {
		if can, known := s.abilities.Ability(at.Registry, k.ability()); known && !can {
			err = errRefusedEarlier
		}
	}
	if err != nil {
		s.leftOut[pushKey{at, r.tag, r.Descriptor.Digest}] = struct{}{}
	}
	return err
}

// keep remembers that a repository has refused a referrer.
func (s *refusals) keep(at content.Location, r *Referrer, err error) {
	k := kindAt(at, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inThisRun[k] = err
	s.leftOut[pushKey{at, r.tag, r.Descriptor.Digest}] = struct{}{}
	if s.abilities != nil {
		s.abilities.KeepAbility(at.Registry, k.ability(), false)
	}
}

// counts returns how many referrers were left out at each registry.
func (s *refusals) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]int{}
	for left := range s.leftOut {
		counts[left.at.Registry]++
	}
	return counts
}
