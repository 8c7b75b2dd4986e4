package transfer

import (
	"hash/fnv"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer/internal/plan"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// sightings decide which tags a run trusts to be as they were seen ([Job].VerifyEvery), and remember what it
// sees. A nil value trusts nothing and remembers nothing.
type sightings struct {
	memory  SeenMemory
	recheck bool

	mu      sync.Mutex
	changed map[string]bool // repositories with a tag that is not as it was seen
}

func newSightings(o Options) *sightings {
	if o.Seen == nil {
		return nil
	}
	return &sightings{memory: o.Seen, recheck: o.Recheck, changed: map[string]bool{}}
}

// place is the name of a tag at a registry; ok is false for other destinations.
func place(to *DestinationPlan) (repository, tag string, ok bool) {
	if to.target == nil || !to.Reference.IsRegistry() || to.Reference.Tag == "" {
		return "", "", false
	}
	return to.target.Location().String(), to.Reference.Tag, true
}

// recall returns what a tag pointed at when it was seen last, and whether that is trusted; empty if it is not known,
// or if the job asks in each run. A tag that was seen as part of another selection is not trusted.
func (s *sightings) recall(job Job, to *DestinationPlan) (image digest.Digest, trusted bool) {
	if s == nil || job.VerifyEvery < 1 || job.Immutable {
		return "", false
	}
	repository, tag, ok := place(to)
	if !ok {
		return "", false
	}
	image, as, at, now := s.memory.Seen(repository, tag)
	trusted = image != "" && as == seenAs(job) && !s.recheck && !s.distrusts(to) && !due(repository+":"+tag, job.VerifyEvery, at, now)
	return image, trusted
}

// seenAs names what a job selects of its source, in few bytes.
func seenAs(job Job) string { return digest.FromString(copiedFrom(job)).Encoded()[:16] }

// due reports whether a tag that was seen in one round is to be resolved in another one: whether its turn, which comes
// once in so many rounds, has come since. So a tag is also resolved if its turn came in a round that left it out.
func due(name string, every int, seen, now int64) bool {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name))
	n := int64(every)
	offset := int64(hash.Sum64() % uint64(n))
	return (seen+offset)/n != (now+offset)/n
}

// compare warns if a tag is neither as it was seen nor as it is to be: somebody else has changed it. Then nothing that was seen in
// the repository is trusted any more.
func (s *sightings) compare(p *Plan, to *DestinationPlan, planned *plan.Plan, seen digest.Digest) {
	there := planned.There.Digest
	if seen == "" || planned.NotAsked || planned.Err != nil || there == seen || there == planned.Image.Digest {
		return
	}
	repository, _, _ := place(to)
	s.mu.Lock()
	first := !s.changed[repository]
	s.changed[repository] = true
	s.mu.Unlock()
	if first {
		s.memory.ForgetSeen(repository, "")
		p.Warnings = append(p.Warnings, warning.Warning{Kind: warning.SeenChanged, Reference: to.Reference.Familiar()})
	}
}

// distrusts reports whether the run has found a tag changed in the repository of a destination.
func (s *sightings) distrusts(to *DestinationPlan) bool {
	repository, _, _ := place(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[repository]
}

// keep remembers what a tag points at: the destination has said so, or accepted it.
func (s *sightings) keep(job Job, to *DestinationPlan, image digest.Digest) {
	if repository, tag, ok := place(to); ok && s != nil && job.VerifyEvery > 0 && !job.Immutable && to.Rule.Kind != RuleSeen {
		s.memory.KeepSeen(repository, tag, image, seenAs(job))
	}
}

// forget forgets a tag that is about to be written, whatever job writes it: the write may end without an answer.
func (s *sightings) forget(to *DestinationPlan) {
	if repository, tag, ok := place(to); ok && s != nil {
		s.memory.ForgetSeen(repository, tag)
	}
}
