package transfer

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/deliver"
	"github.com/regsync/regsync/pkg/transfer/internal/plan"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// noMemory is a memory that remembers nothing.
type noMemory struct{}

func (noMemory) Children(digest.Digest) (children []digest.Digest, known bool) { return nil, false }
func (noMemory) KeepChildren(digest.Digest, []digest.Digest)                   {}
func (noMemory) Ability(string, string) (seen string, known bool)              { return "", false }
func (noMemory) KeepAbility(string, string, string)                            {}
func (noMemory) Copied(string, string) (image digest.Digest, at time.Time, known bool) {
	return "", time.Time{}, false
}
func (noMemory) KeepCopied(string, string, digest.Digest) {}

// remember records that an immutable tag is at a destination, with all that is copied along with it.
func remember(memory CopyMemory, plan *Plan, to reference.Reference) {
	if plan.Job.Immutable {
		memory.KeepCopied(copiedFrom(plan.Job), to.String(), plan.Image.Digest)
	}
}

// owed names the referrers of a job that is only to copy those of images that it copies: what failed once is
// searched for again.
func owed(job Job) string { return "referrers of " + copiedFrom(job) }

// rememberOwed records whether referrers of an image are still to be copied to a destination.
func rememberOwed(memory CopyMemory, plan *Plan, to reference.Reference, failed bool) {
	if !plan.Job.ReferrersOnCopy {
		return
	}
	if _, _, known := memory.Copied(owed(plan.Job), to.String()); failed {
		memory.KeepCopied(owed(plan.Job), to.String(), plan.Image.Digest)
	} else if known {
		memory.KeepCopied(owed(plan.Job), to.String(), "")
	}
}

// owes reports whether referrers of an image are still to be copied to a destination.
func owes(memory CopyMemory, plan *Plan, to reference.Reference) bool {
	image, _, known := memory.Copied(owed(plan.Job), to.String())
	return known && image != "" && image == plan.Image.Digest
}

// copiedFrom names what is copied for an immutable tag: the source's reference, and every setting that selects parts of the
// image. A different selection has a different name, so that the tag is checked again after the configuration has changed.
func copiedFrom(job Job) string {
	name := []string{job.Source.String()}
	if len(job.Platforms) > 0 {
		var platforms []string
		for _, p := range job.Platforms {
			platforms = append(platforms, content.FormatPlatform(p))
		}
		slices.Sort(platforms)
		name = append(name, "platforms="+strings.Join(slices.Compact(platforms), ","))
		if job.RequirePlatforms {
			name = append(name, "all")
		}
	}
	if job.Attestations == AttestationsDrop {
		name = append(name, "omitAttestations")
	}
	if job.Referrers {
		types := slices.Sorted(slices.Values(job.ReferrerTypes))
		name = append(name, "referrers="+strings.Join(slices.Compact(types), ","))
		if job.ReferrersRequired {
			name = append(name, "required")
		}
		if job.ReferrersOnCopy {
			name = append(name, "onCopy") // an image that was there already may lack them
		}
	}
	if job.ForeignLayers {
		name = append(name, "foreignLayers")
	}
	return strings.Join(name, " ")
}

// seenTags decides which tags a run need not resolve at the destination, because an earlier run saw them there
// ([Job].VerifyEvery), and records what this run sees. A nil value trusts and records nothing.
type seenTags struct {
	memory  SeenMemory
	recheck bool
	changed sync.Map // repositories with a tag that is not as it was seen
}

func newSeenTags(o Options) *seenTags {
	if o.Seen == nil {
		return nil
	}
	return &seenTags{memory: o.Seen, recheck: o.Recheck}
}

// tagAt names the repository and the tag of a destination; ok is false if it is not a tag at a registry.
func tagAt(to *DestinationPlan) (repository, tag string, ok bool) {
	if to.target == nil || !to.Reference.IsRegistry() || to.Reference.Tag == "" {
		return "", "", false
	}
	return to.target.Location().String(), to.Reference.Tag, true
}

// recall returns what a tag pointed at when it was last seen, empty if unknown, and whether the run may rely on it. It may
// not if the tag was seen with another selection, if its turn has come, or if the repository was changed.
func (s *seenTags) recall(job Job, to *DestinationPlan) (image digest.Digest, trusted bool) {
	if s == nil || job.VerifyEvery < 1 || job.Immutable {
		return "", false
	}
	repository, tag, ok := tagAt(to)
	if !ok {
		return "", false
	}
	image, as, at, now := s.memory.Seen(repository, tag)
	trusted = image != "" && as == selectionKey(job) && !s.recheck && !s.distrusts(to) && !due(repository+":"+tag, job.VerifyEvery, at, now)
	return image, trusted
}

// selectionKey identifies what a job selects of its source, in 16 characters.
func selectionKey(job Job) string { return digest.FromString(copiedFrom(job)).Encoded()[:16] }

// due reports whether a tag must be resolved. Each tag has one turn in so many rounds (every); if its round was missed, it
// is due in the next one.
func due(name string, every int, seen, now int64) bool {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name))
	n := int64(every)
	offset := int64(hash.Sum64() % uint64(n))
	return (seen+offset)/n != (now+offset)/n
}

// compare warns if a tag is neither what an earlier run saw nor what it is to become: another client has changed it. The
// run then trusts no tag of the repository.
func (s *seenTags) compare(p *Plan, to *DestinationPlan, planned *plan.Plan, seen digest.Digest) {
	there := planned.There.Digest
	if seen == "" || planned.NotAsked || planned.Err != nil || there == seen || there == planned.Image.Digest {
		return
	}
	repository, _, _ := tagAt(to)
	if _, before := s.changed.LoadOrStore(repository, true); !before {
		s.memory.ForgetSeen(repository, "")
		p.Warnings = append(p.Warnings, warning.Warning{Kind: warning.SeenChanged, Reference: to.Reference.Familiar()})
	}
}

// distrusts reports whether the run has found a tag changed in the repository of a destination.
func (s *seenTags) distrusts(to *DestinationPlan) bool {
	repository, _, _ := tagAt(to)
	_, changed := s.changed.Load(repository)
	return changed
}

// keep remembers what a tag points at, after the destination has reported or accepted it.
func (s *seenTags) keep(job Job, to *DestinationPlan, image digest.Digest) {
	if repository, tag, ok := tagAt(to); ok && s != nil && job.VerifyEvery > 0 && !job.Immutable && to.Rule.Kind != RuleSeen {
		s.memory.KeepSeen(repository, tag, image, selectionKey(job))
	}
}

// forget forgets a tag that is about to be written, whatever job writes it: the write may end without an answer.
func (s *seenTags) forget(to *DestinationPlan) {
	if repository, tag, ok := tagAt(to); ok && s != nil {
		s.memory.ForgetSeen(repository, tag)
	}
}

// The name and the values of a remembered ability: whether a registry accepts the attestations in an index.
const (
	abilityAttestations  = "attestations"
	attestationsAccepted = "accepted"
	attestationsRefused  = "refused"
)

// attestations knows which registries refuse the attestations in an index, in this run or an earlier one.
type attestations struct {
	memory  AbilityMemory
	recheck bool                 // ignores earlier runs
	turns   flight.Locks[string] // of registries that have not answered yet

	mu       sync.Mutex
	refusing map[string]bool // whether a registry refuses them; a refusal is not taken back in the run
	accepted map[string]bool // registries that have taken an attestation
}

// errAttestationsRefused: the registry has refused the attestations of another image.
var errAttestationsRefused = errors.New("the attestations of another image were refused")

// refused reports whether the registry of a target is known to refuse attestations. What an earlier run has learned is
// remembered anew, because this run uses it.
func (a *attestations) refused(to content.Target) bool {
	registry := to.Location().Registry
	a.mu.Lock()
	refused, known := a.refusing[registry]
	a.mu.Unlock()
	if known || a.recheck {
		return refused
	}
	if seen, _ := a.memory.Ability(registry, abilityAttestations); seen == attestationsRefused {
		a.refuse(to)
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.refusing[registry] {
		a.refusing[registry] = false
	}
	return a.refusing[registry]
}

// refuse records that a registry refuses attestations.
func (a *attestations) refuse(to content.Target) {
	registry := to.Location().Registry
	a.mu.Lock()
	before := a.refusing[registry]
	a.refusing[registry] = true
	a.mu.Unlock()
	if !before {
		a.memory.KeepAbility(registry, abilityAttestations, attestationsRefused)
	}
}

func (a *attestations) accept(to content.Target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accepted[to.Location().Registry] = true
}

// push pushes an attestation. The first push to a registry runs alone, so that a registry that refuses attestations
// gets one push, not one for each image. Once one is refused, others are an [errAttestationsRefused].
func (a *attestations) push(ctx context.Context, to content.Target, push func() error) error {
	registry := to.Location().Registry
	unlock, err := a.turns.Lock(ctx, registry)
	if err != nil {
		return err
	}
	a.mu.Lock()
	refused, accepted := a.refusing[registry], a.accepted[registry]
	a.mu.Unlock()
	if refused || accepted {
		unlock()
		if refused {
			return errAttestationsRefused
		}
		return push()
	}
	defer unlock()
	err = push()
	if _, answered := errors.AsType[deliver.Refusal](err); answered && errors.Is(err, content.ErrImagesOnly) {
		a.refuse(to)
	} else if err == nil {
		a.accept(to)
	}
	return err
}

// keepAccepted remembers, after a run that has ignored earlier ones, which registries accept attestations.
func (a *attestations) keepAccepted() {
	for registry := range a.accepted {
		if a.recheck && !a.refusing[registry] {
			a.memory.KeepAbility(registry, abilityAttestations, attestationsAccepted)
		}
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

// refusesAttestations reports whether err is the destination's refusal of an attestation in the index of a plan, or
// of the index because of it. It returns false for a refused referrer.
func (p *Plan) refusesAttestations(err error) bool {
	if _, attached := errors.AsType[*ReferrersError](err); attached || !errors.Is(err, content.ErrImagesOnly) {
		return false
	}
	inside := p.attestationsIn()
	refusal, ok := errors.AsType[deliver.Refusal](err)
	return ok && len(inside) > 0 && (refusal.Manifest == p.tree.Root.Descriptor.Digest || slices.Contains(inside, refusal.Manifest))
}
