package referrers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/deliver"
)

// listAttempts is how often a list is written while another client keeps overwriting it.
const listAttempts = 3

// pushKey is a referrer at a place.
type pushKey struct {
	at     content.Location
	tag    string
	digest digest.Digest
}

type pushed struct {
	answer  content.ManifestPushed
	existed bool
}

// Push copies referrers to a destination, each once in a run and none without its subject, and adds them
// to the lists of their subjects. It returns how many were copied, and what failed.
func (f *Finder) Push(ctx context.Context, by *deliver.Delivery, to Destination, missing []*Referrer) (copied int, failures []*Error) {
	at := to.Target.Location()
	for _, r := range missing {
		if f.refusals.known(at, r, true) == nil {
			by.Need(r.Tree)
		}
	}
	var mu sync.Mutex
	present, unlisted, lost := map[digest.Digest]bool{}, map[*list]bool{}, map[digest.Digest]*Error{}
	fail := func(r *Referrer, err *Error) {
		failures = append(failures, err)
		lost[r.Descriptor.Digest] = err
	}
	push := func(_ int, r *Referrer) {
		put, executed, err := f.push(ctx, by, to, r)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			fail(r, err)
			return
		}
		present[r.Descriptor.Digest] = true
		if executed && !put.existed {
			copied++
		}
		if r.list != nil && put.answer.Subject == "" {
			unlisted[r.list] = true
		}
	}
	for rest := missing; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(r *Referrer) bool { return r.depth != rest[0].depth })
		if n < 0 {
			n = len(rest)
		}
		inParallel(slices.DeleteFunc(slices.Clone(rest[:n]), func(r *Referrer) bool {
			subject := lost[r.subject]
			if subject != nil {
				err := r.failed(fmt.Errorf("its subject was not copied: %w", subject.Err))
				err.Refused = subject.Refused
				fail(r, err)
			}
			return subject != nil
		}), push)
		rest = rest[n:]
	}
	for l := range unlisted {
		if err := f.pushList(ctx, to.Target, l, present); err != nil {
			failures = append(failures, l.failed(to.Failed(err)))
		}
	}
	return copied, failures
}

// push copies one referrer. If another delivery fails to copy it, this one tries.
func (f *Finder) push(ctx context.Context, by *deliver.Delivery, to Destination, r *Referrer) (put pushed, executed bool, failure *Error) {
	at := to.Target.Location()
	if err := f.refusals.known(at, r, true); err != nil {
		return pushed{}, false, r.notAccepted(err)
	}
	key := pushKey{at, r.tag, r.Descriptor.Digest}
	for {
		put, executed, err := f.pushes.Do(ctx, f.answers.Running, key, func(ctx context.Context) (pushed, error) {
			moved, err := by.PushBelow(ctx, r.Tree, r.Tree.Root)
			if err != nil {
				return pushed{}, err
			}
			root := r.Tree.Root.Descriptor
			if r.tag != "" && to.Lacks && !moved { // some registries refuse to overwrite a tag even with the same manifest
				there, err := to.Target.Resolve(ctx, r.tag)
				if err == nil && there.Digest == root.Digest {
					f.answers.tags.Keep(nameAt{at, r.tag}, there)
					return pushed{existed: true}, nil
				}
			}
			answer, err := by.Push(ctx, r.Tree, r.Tree.Root, r.tag)
			if err == nil && r.tag != "" {
				f.answers.tags.Keep(nameAt{at, r.tag}, root)
			}
			return pushed{answer: answer}, err
		})
		_, refused := errors.AsType[deliver.Refusal](err)
		switch {
		case err == nil:
			f.refusals.accepted(at, r)
			return put, executed, nil
		case f.refusals.refuses(at, r, err):
			return put, executed, r.notAccepted(err)
		case executed || refused || ctx.Err() != nil:
			return put, executed, r.failed(err)
		}
	}
}

// List puts a manifest on the list of its subject, at a place that keeps no such lists itself. It returns what failed.
func (f *Finder) List(ctx context.Context, to Destination, m *content.Manifest) []*Error {
	d := m.Referrer()
	l := &list{subject: m.Subject.Digest, budget: content.NewBudget(content.Limits{}), loaded: true, entries: []content.Descriptor{d}}
	if err := f.pushList(ctx, to.Target, l, map[digest.Digest]bool{d.Digest: true}); err != nil {
		return []*Error{l.failed(to.Failed(err))}
	}
	return nil
}

// pushList updates the list that is kept under a tag in a registry without the referrers API. A destination without other
// entries gets the source's list, byte for byte. Otherwise the new entries are merged: the list is read, extended, pushed, and
// read again, because other clients write it, too. Within a run there is one writer at a time.
func (f *Finder) pushList(ctx context.Context, to content.Target, l *list, present map[digest.Digest]bool) error {
	unlock, err := f.lists.Lock(ctx, nameAt{to.Location(), l.subject.String()})
	if err != nil {
		return err
	}
	defer unlock()
	tag, put := content.FallbackTag(l.subject), digest.Digest("")
	var wanted []content.Descriptor
	for attempt := 0; ; attempt++ {
		there, err := to.Resolve(ctx, tag)
		if err != nil && !errors.Is(err, content.ErrNotFound) {
			return err
		}
		if put != "" && there.Digest == put {
			f.keepList(to, tag, there, wanted)
			return nil
		}
		var have []content.Descriptor
		if there.Digest != "" && !isList(there) {
			return fmt.Errorf("the tag %s does not point to a list of referrers: %w", tag, content.ErrInvalid)
		}
		if there.Digest != "" {
			m, err := l.budget.Fetch(ctx, f.answers.named(to, tag), there)
			if err != nil {
				return err
			}
			have = m.Manifests
		}
		wanted = slices.Clone(have)
		for _, d := range l.entries {
			if present[d.Digest] && !slices.ContainsFunc(have, func(h content.Descriptor) bool { return h.Digest == d.Digest }) {
				wanted = append(wanted, d)
			}
		}
		if len(wanted) == len(have) {
			f.keepList(to, tag, there, have)
			return nil
		}
		if attempt == listAttempts {
			return errors.New("another client keeps overwriting it")
		}
		d, raw := l.origin, l.raw
		if raw == nil || len(wanted) != len(l.entries) || !isSubset(digestsOf(wanted), digestsOf(l.entries)) {
			if d, raw, err = content.NewReferrersList(wanted); err != nil {
				return err
			}
		}
		if _, err := to.PushManifest(ctx, d, raw, tag); err != nil {
			return err
		}
		f.answers.Manifests.Keep(to.Location(), d, raw)
		put = d.Digest
	}
}

func (f *Finder) keepList(to content.Target, tag string, l content.Descriptor, entries []content.Descriptor) {
	f.answers.tags.Keep(nameAt{to.Location(), tag}, l)
	f.answers.Children.KeepChildren(l.Digest, digestsOf(entries))
}

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

var errRefusedEarlier = errors.New("not accepted by the registry in an earlier run")

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

// refuses reports whether an error is a refusal of a kind, and remembers it: until the end of the run after a 405, which a
// registry that is read-only for a while answers, too. A repository that has accepted the kind refuses something else.
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
