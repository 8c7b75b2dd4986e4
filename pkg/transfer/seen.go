package transfer

import (
	"hash/fnv"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/transfer/internal/plan"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// seenTags decides which tags a run need not resolve at the destination, because an earlier run saw them there
// ([Job].VerifyEvery), and records what this run sees. A nil value trusts and records nothing.
type seenTags struct {
	memory  SeenMemory
	recheck bool

	mu      sync.Mutex
	changed map[string]bool // repositories with a tag that is not as it was seen
}

func newSeenTags(o Options) *seenTags {
	if o.Seen == nil {
		return nil
	}
	return &seenTags{memory: o.Seen, recheck: o.Recheck, changed: map[string]bool{}}
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

// due reports whether a tag must be resolved: its turn comes once in every rounds, and has come after the round in which
// it was seen. So a tag that a round left out is resolved later.
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
func (s *seenTags) distrusts(to *DestinationPlan) bool {
	repository, _, _ := tagAt(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[repository]
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
