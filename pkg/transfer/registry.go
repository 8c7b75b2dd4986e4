package transfer

import (
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// place is a repository as the engine tells them apart: blobs are mounted between the
// repositories of one registry that are reached under one account.
type place struct {
	registry   string // Location.Registry and Location.Account
	repository string
}

func placeOf(l content.Location) place {
	return place{registry: l.Registry + "\x00" + l.Account, repository: l.Repository}
}

// verdict is what a run has learned about a registry.
type verdict int

const (
	unknown verdict = iota
	yes
	no
	// committed: only of what a manifest refers to, as Amazon ECR does with mounts.
	committed
)

// registry is what a run knows about one destination registry. All of it was seen in this
// run: put, mounted or answered for.
type registry struct {
	name string // Location.Registry

	mu        sync.Mutex
	targets   map[string]origin // by repository
	waits     map[[2]string]int // the first repository waits for a manifest of the second
	blobs     map[digest.Digest]*blobState
	manifests map[manifestPlace]content.ManifestPushed
	// mounts: it has mounted a blob from another repository, or refused one that this run
	// had put there; for good only if a manifest referred to the blob.
	mounts verdict
	// probes: it answers a mount from a blob's own repository with 201 where the blob is
	// there, so that one request asks and opens the upload.
	probes verdict
	// sample is a blob that this run has put, to ask such a question for.
	sample       content.Descriptor
	sampleTarget content.Target
	// sampled is closed when there is one, or need for it no more; learned when the question
	// has been answered, and nil until it is asked.
	sampled, learned chan struct{}

	memory AbilityMemory // nil remembers nothing
	// probedBefore is what an earlier run has learned of probes.
	probedBefore verdict
	// mountAgain: that it does not mount was learned by an earlier run; one more is tried.
	mountAgain bool
	// awaited is since when large blobs have waited for the sample.
	awaited time.Time
}

// manifestPlace is a manifest in a repository.
type manifestPlace struct {
	repository string
	digest     digest.Digest
}

// blobState is where one blob is in one registry.
type blobState struct {
	// seen has the repositories that hold the blob, and when that was last known.
	seen map[string]time.Time
	// put has the repositories that this run has sent it to, each with what is closed at the
	// end of the delivery that did. Like those below it is nil while empty: a run knows a
	// hundred thousand blobs.
	put map[string]<-chan struct{}
	// committed has those where a manifest of this run refers to it.
	committed map[string]bool
	// refused has the repositories that it could not be mounted from.
	refused map[string]bool
	// leading is closed when the repository that the blob is being put into has it, or
	// has failed to get it; nil while none leads.
	leading chan struct{}
}

func (r *registry) blob(d digest.Digest) *blobState {
	b := r.blobs[d]
	if b == nil {
		b = &blobState{seen: map[string]time.Time{}}
		r.blobs[d] = b
	}
	return b
}

// learn notes that a repository has a blob.
func (r *registry) learn(repository string, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blob(d).seen[repository] = time.Now()
}

// learnPut notes that a delivery, which ends with ended, has put a blob into a repository.
func (r *registry) learnPut(repository string, d digest.Digest, ended <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blob(d)
	b.seen[repository] = time.Now()
	if b.put == nil {
		b.put = map[string]<-chan struct{}{}
	}
	b.put[repository] = ended
}

// forget notes that a repository may not have a blob after all.
func (r *registry) forget(repository string, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blob(d)
	delete(b.seen, repository)
	delete(b.put, repository)
}

// has reports whether a repository is known to have a blob, and since when.
func (r *registry) has(repository string, d digest.Digest) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blobs[d]
	if b == nil {
		return time.Time{}, false
	}
	since, ok := b.seen[repository]
	return since, ok
}

// got reports whether this run has sent any of some blobs to a repository.
func (r *registry) got(repository string, blobs []content.Descriptor) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(blobs, func(d content.Descriptor) bool {
		b := r.blobs[d.Digest]
		return b != nil && b.put[repository] != nil
	})
}

// reader finds a repository that this run has put a blob into, to read it from again.
func (r *registry) reader(d digest.Digest) (from origin, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.blobs[d]; b != nil {
		for repository := range b.put {
			return r.targets[repository], true
		}
	}
	return origin{}, false
}

func (r *registry) canProbe() verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.probes
}

// probed notes the answer to a mount of a blob from its own repository. A refusal tells
// something only where the blob was certainly there.
func (r *registry) probed(granted, certain bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case granted:
		r.setProbes(yes)
	case certain:
		r.setProbes(no)
	}
}

// keepSample remembers the first blob that was put, for a probe.
func (r *registry) keepSample(t content.Target, d content.Descriptor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sampleTarget == nil {
		r.sample, r.sampleTarget = d, t
		r.sampledLocked()
	}
}

// manifest is what a repository answered to a manifest that it has been given in this run;
// all that is below it is there too.
func (r *registry) manifest(repository string, d digest.Digest) (pushed content.ManifestPushed, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pushed, known = r.manifests[manifestPlace{repository, d}]
	return pushed, known
}

func (r *registry) learnManifest(repository string, d digest.Digest, pushed content.ManifestPushed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifests[manifestPlace{repository, d}] = pushed
}

func (r *registry) forgetManifest(repository string, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.manifests, manifestPlace{repository, d})
}
