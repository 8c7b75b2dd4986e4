package referrers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/deliver"
)

// refusals are the kinds of referrers that repositories do not accept. They are remembered between runs, so
// that such a referrer is neither sent nor read at its source, which may limit manifest reads.
type refusals struct {
	abilities Abilities
	kinds     flight.Memo[kind, refusal]
}

// The values of remembered abilities.
const seenAccepted, seenRefused = "accepted", "refused"

// refusal is why a kind is not accepted; zero if nothing is known.
type refusal struct {
	err      error
	earlier  bool // in an earlier run
	accepted bool // a referrer of the kind was accepted, in this run or earlier
}

// kind is a kind of referrer at one repository.
type kind struct {
	at        content.Location
	mediaType string
	artifact  string // the artifact type, or the suffix of cosign's tag
}

func kindAt(at content.Location, r *Referrer) kind {
	k := kind{at, r.Descriptor.MediaType, r.Descriptor.ArtifactType}
	if r.Tree != nil { // a list entry may lack the artifact type
		k = kind{at, r.Tree.Root.Descriptor.MediaType, r.Tree.Root.ReferrerType()}
	}
	if r.tag != "" {
		k.artifact = r.tag[strings.LastIndex(r.tag, "."):]
	}
	return k
}

func (k kind) ability() string {
	return fmt.Sprintf("accept %s %s in %s", k.mediaType, k.artifact, k.at.Repository)
}

var errRefusedEarlier = errors.New("the registry did not accept it in an earlier run")

func (s *refusals) of(k kind) refusal {
	known, found := s.kinds.Find(k)
	if found {
		return known
	}
	switch seen, _ := s.abilities.Ability(k.at.Registry, k.ability()); seen {
	case seenAccepted:
		known.accepted = true
	case seenRefused:
		known = refusal{err: errRefusedEarlier, earlier: true}
	}
	return s.kinds.KeepFirst(k, known)
}

// known returns why a repository does not accept a referrer, or nil if no refusal is known. With thisRunOnly,
// refusals of earlier runs are ignored.
func (s *refusals) known(at content.Location, r *Referrer, thisRunOnly bool) error {
	known := s.of(kindAt(at, r))
	if known.earlier && thisRunOnly {
		return nil
	}
	return known.err
}

// refuses reports whether an error is a refusal of a kind, and remembers it: until the end of the run after a
// 405, which a registry that is read-only for a while answers, too. A repository that has accepted the kind
// refuses something else.
func (s *refusals) refuses(at content.Location, r *Referrer, err error) bool {
	k := kindAt(at, r)
	if !refusesKind(err) || s.of(k).accepted {
		return false
	}
	s.kinds.Keep(k, refusal{err: err})
	if content.AnswerOf(err).Status != http.StatusMethodNotAllowed {
		s.abilities.KeepAbility(at.Registry, k.ability(), seenRefused)
	}
	return true
}

// accepted remembers that a repository has accepted a referrer of a kind.
func (s *refusals) accepted(at content.Location, r *Referrer) {
	k := kindAt(at, r)
	if !s.of(k).accepted {
		s.kinds.Keep(k, refusal{accepted: true})
		s.abilities.KeepAbility(at.Registry, k.ability(), seenAccepted)
	}
}

// refusesKind reports whether the repository refused the manifest because of its kind.
func refusesKind(err error) bool {
	_, refused := errors.AsType[deliver.Refusal](err)
	return refused && (errors.Is(err, content.ErrUnsupported) || content.AnswerOf(err).Status == http.StatusUnsupportedMediaType)
}
