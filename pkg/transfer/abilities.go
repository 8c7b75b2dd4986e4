package transfer

import (
	"context"
	"errors"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// The abilities of registries that are remembered between runs.
const (
	// abilityProbe: it answers a mount from the blob's own repository with 201 where the
	// blob is there.
	abilityProbe = "probe"
	// abilityMount: it mounts blobs from one repository into another.
	abilityMount = "mount"
)

// samplePatience is how long, once in a run, large blobs wait for a small one to arrive that
// the registry can be asked about.
const samplePatience = 500 * time.Millisecond

// recall takes over what earlier runs have learned. It is believed only where an error
// costs no more than not knowing: that a registry answers probes makes it worth while to
// find that out early, and that it does not mount saves waiting for mounts, until one
// that is tried all the same is granted.
func (r *registry) recall(memory AbilityMemory) {
	if memory == nil {
		return
	}
	r.memory = memory
	if can, known := memory.Ability(r.name, abilityProbe); known {
		r.probedBefore = verdictOf(can)
	}
	if can, known := memory.Ability(r.name, abilityMount); known && !can {
		r.mounts, r.mountAgain = no, true
	}
}

func verdictOf(can bool) verdict {
	if can {
		return yes
	}
	return no
}

// setMounts notes whether the registry mounts. r.mu is held.
func (r *registry) setMounts(v verdict) {
	if v != r.mounts {
		r.mounts = v
		r.keep(abilityMount, v)
	}
}

// setProbes notes whether the registry answers probes. r.mu is held.
func (r *registry) setProbes(v verdict) {
	if v != r.probes {
		r.probes = v
		r.keep(abilityProbe, v)
		r.sampledLocked()
	}
}

// sampledLocked wakes those that wait for a sample. r.mu is held.
func (r *registry) sampledLocked() {
	select {
	case <-r.sampled:
	default:
		close(r.sampled)
	}
}

func (r *registry) keep(ability string, v verdict) {
	if r.memory != nil && (v == yes || v == no) {
		r.memory.KeepAbility(r.name, ability, v == yes)
	}
}

// awaitSample waits, where an earlier run has seen probes answered, until this one can tell:
// until a first blob has been put or answered for. The configuration of an image is small,
// and is nearly always the first.
func (r *registry) awaitSample(ctx context.Context) {
	r.mu.Lock()
	if r.probedBefore != yes || r.probes != unknown {
		r.mu.Unlock()
		return
	}
	if r.awaited.IsZero() {
		r.awaited = time.Now()
	}
	timer := time.NewTimer(samplePatience - time.Since(r.awaited))
	r.mu.Unlock()
	defer timer.Stop()
	select {
	case <-r.sampled:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// learnForLater asks what the next run would like to know, where no run has found out.
func (r *registry) learnForLater(ctx context.Context) {
	if r.memory != nil && r.probedBefore == unknown {
		r.learnProbe(ctx)
	}
}

// learnProbe asks, once for a registry, for a blob that is there: does it answer a mount
// from the blob's own repository? Whoever comes meanwhile waits for the answer.
func (r *registry) learnProbe(ctx context.Context) {
	r.mu.Lock()
	sample, target, learned := r.sample, r.sampleTarget, r.learned
	mounter, ok := target.(content.Mounter)
	if r.probes != unknown || learned == nil && !ok {
		r.mu.Unlock()
		return
	}
	if learned != nil {
		r.mu.Unlock()
		select {
		case <-learned:
		case <-ctx.Done():
		}
		return
	}
	learned = make(chan struct{})
	r.learned = learned
	r.mu.Unlock()

	defer close(learned)
	upload, err := mounter.Mount(ctx, sample, target.Location().Repository)
	cancelUpload(ctx, upload)
	r.probed(err == nil && upload == nil, err == nil || errors.Is(err, content.ErrNotMounted))
}
