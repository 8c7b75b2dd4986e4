package transfer

import (
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
)

// registry is what a run knows about one destination registry. All of it was seen in this
// run: put, mounted or answered for.
type registry struct {
	name string // Location.Registry

	mu        sync.Mutex
	targets   map[string]origin // by repository
	blobs     map[digest.Digest]*blobState
	manifests map[manifestPlace]content.ManifestPushed
	// mounts: it has mounted a blob from another repository, or refused one that this run
	// had put there.
	mounts verdict
	// probes: it answers a mount from a blob's own repository with 201 where the blob is
	// there, so that one request asks and opens the upload.
	probes verdict
	// sample is a blob that this run has put, to ask such a question for.
	sample       content.Descriptor
	sampleTarget content.Target
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
	// put has the repositories that this run has sent it to. Like refused it is nil while
	// empty: a run knows a hundred thousand blobs.
	put map[string]bool
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
func (r *registry) learn(repository string, d digest.Digest, put bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blob(d)
	b.seen[repository] = time.Now()
	if put {
		if b.put == nil {
			b.put = map[string]bool{}
		}
		b.put[repository] = true
	}
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

func (r *registry) canMount() verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mounts
}

func (r *registry) canProbe() verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.probes
}

// mounted notes what came of a mount of a blob from another repository. It tells something
// about the registry only where that answered for good.
func (r *registry) mounted(from string, d digest.Digest, granted, answered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blob(d)
	switch {
	case granted:
		r.mounts = yes
	case answered && b.put[from] && r.mounts == unknown:
		r.mounts = no
	}
	if !granted {
		if b.refused == nil {
			b.refused = map[string]bool{}
		}
		b.refused[from] = true
	}
}

// probed notes the answer to a mount of a blob from its own repository. A refusal tells
// something only where the blob was certainly there.
func (r *registry) probed(granted, certain bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case granted:
		r.probes = yes
	case certain:
		r.probes = no
	}
}

// keepSample remembers the first blob that was put, for a probe.
func (r *registry) keepSample(t content.Target, d content.Descriptor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sampleTarget == nil {
		r.sample, r.sampleTarget = d, t
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
