package blobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// verdict is what is known about an ability of a registry.
type verdict uint8

const (
	unknown verdict = iota
	yes
	no
	// committed: it mounts only what a manifest refers to, as Amazon ECR does.
	committed
)

// The names of abilities between runs.
const (
	// abilityProbe: it answers a mount from the blob's own repository with 201 where the
	// blob is there.
	abilityProbe = "probe"
	// abilityMount: it mounts blobs from one repository into another.
	abilityMount = "mount"
)

// abilities are what a registry is known to do.
type abilities struct {
	mounts, probes verdict
	// mountAgain: an earlier run has learned that it does not mount; one more is tried.
	mountAgain bool
	// checked: this run has seen what it remembers of probes, or has nothing to remember it in.
	checked bool
}

// recall takes over what earlier runs have learned. What has become wrong is put right by this
// run, and costs little until then: a registry that does not answer probes any more is sent
// large blobs that it has, and one that mounts now is asked once.
func recall(memory Abilities, registry string) abilities {
	a := abilities{checked: memory == nil}
	if memory == nil {
		return a
	}
	switch can, known := memory.Ability(registry, abilityProbe); {
	case known && can:
		a.probes = yes
	case known:
		a.checked = true
	}
	if can, known := memory.Ability(registry, abilityMount); known && !can {
		a.mounts, a.mountAgain = no, true
	}
	return a
}

// learn notes an ability, and remembers it for later runs. q.mu is held.
func (q *Queue) learn(r *registry, ability string, known *verdict, v verdict) {
	if *known == v {
		return
	}
	*known = v
	if memory := q.options.Abilities; memory != nil && (v == yes || v == no) {
		q.afterUnlock = append(q.afterUnlock, func() { memory.KeepAbility(r.name, ability, v == yes) })
	}
}

// shares reports whether repositories of a registry wait for each other's blobs, to mount them.
func (r *registry) shares(target content.Target) bool {
	_, can := target.(content.Mounter)
	return can && r.mounts != no
}

// mountable finds a repository that a blob can be mounted from. wait says that there is none
// yet, but that a delivery before this one will end with a manifest that names the blob;
// since each waits only for those before it in the file's order, no wait is circular.
func (it *item) mountable(w *want) (from string, wait bool) {
	r := it.registry
	if _, can := w.place.Target.(content.Mounter); !can || r.mounts == no && !r.mountAgain {
		return "", false
	}
	for repository, p := range it.at {
		early := p.by != nil && !p.by.ended && !p.committed
		switch {
		case repository == w.repository:
		case early && r.mounts == committed:
			wait = wait || p.by.order < w.order
		case !it.refused[repository] && (!early || r.mounts != no):
			from = repository
		}
	}
	return from, wait && from == ""
}

// mount asks for a blob from another repository of the registry. It returns the upload that
// a refusal may open.
func (q *Queue) mount(ctx context.Context, w *want, from string) (granted bool, upload content.Upload, err error) {
	q.lock()
	it, r := w.item, w.item.registry
	p := it.at[from]
	sure := p != nil && p.put
	named := p != nil && p.committed
	skip := r.mounts == no && !r.mountAgain
	r.mountAgain = false
	q.unlock()
	if skip {
		return false, nil, nil
	}
	upload, err = w.place.Target.(content.Mounter).Mount(ctx, w.item.blob, from) //nolint:forcetypeassert // mountable has asked
	granted = err == nil && upload == nil
	if err != nil && !errors.Is(err, content.ErrNotMounted) {
		return false, nil, w.failure(err)
	}
	q.lock()
	defer q.unlock()
	switch {
	case granted && r.mounts != committed:
		q.learn(r, abilityMount, &r.mounts, yes)
	case granted:
	case named && sure && r.mounts != yes:
		q.learn(r, abilityMount, &r.mounts, no)
	case sure && r.mounts == unknown:
		r.mounts = committed
	}
	if !granted {
		// A manifest that was put meanwhile makes the refusal outdated.
		outdated := !named && p != nil && p.committed
		it.refused[from] = !outdated
	}
	return granted, upload, nil
}

// hints are repositories that may have a blob, as the caller knows: the source's own, where
// it is the same registry, and two more.
func (q *Queue) hints(w *want) []string {
	const most = 2
	if !w.item.registry.shares(w.place.Target) {
		return nil
	}
	var named []string
	if q.options.Hints != nil {
		named = q.options.Hints(w.item.registry.name, w.item.blob.Digest)
	}
	q.lock()
	defer q.unlock()
	tried := func(repository string) bool {
		_, refused := w.item.refused[repository]
		return refused || repository == "" || repository == w.repository
	}
	named = slices.DeleteFunc(named, tried)
	named = named[:min(len(named), most)]
	if at := w.origin.Source.Location(); at.Registry == w.item.registry.peer.Registry &&
		at.Account == w.item.registry.peer.Account && !tried(at.Repository) {
		named = slices.DeleteFunc(named, func(repository string) bool { return repository == at.Repository })
		named = append([]string{at.Repository}, named...)
	}
	return slices.Compact(named)
}

// probeLimit is the size, in bytes, above which a blob is asked for by HEAD while it is not
// known whether the registry answers a mount from the blob's own repository.
const probeLimit = 1 << 20

// ask finds out whether a blob is in the repository. A mount from the repository itself does
// that and opens the upload in one request; where it is not known to, only blobs that are
// cheap to send are asked for so, and none that the registry has lost. An upload that is open
// already came of a refused mount.
func (q *Queue) ask(ctx context.Context, w *want, open content.Upload) (there bool, upload content.Upload, err error) {
	large := w.item.blob.Size > probeLimit
	if open != nil && !large {
		return false, open, nil
	}
	q.lock()
	probes := w.item.registry.probes
	p := w.item.at[w.repository]
	unverified := p != nil && p.unverified && !p.since.IsZero()
	q.unlock()
	mounter, ok := w.place.Target.(content.Mounter)
	if ok && open == nil && !unverified && (probes == yes || probes == unknown && !large) {
		upload, err = mounter.Mount(ctx, w.item.blob, w.repository)
		if err == nil {
			if upload == nil {
				q.lock()
				defer q.unlock()
				w.item.registry.checked = true
				q.learn(w.item.registry, abilityProbe, &w.item.registry.probes, yes)
			}
			return upload == nil, upload, nil
		}
		if !errors.Is(err, content.ErrNotMounted) || errors.Is(err, content.ErrDenied) {
			return false, nil, w.failure(err)
		}
	}
	there, err = w.place.Target.HasBlob(ctx, w.item.blob)
	if err != nil {
		err = w.failure(err)
	}
	return there, open, err
}

// checkProbe asks, once in a run and after a large blob was sent, whether the registry answers
// a mount from the blob's own repository: later runs would like to know, and this one may
// remember what is not true any more.
func (q *Queue) checkProbe(ctx context.Context, w *want) {
	r := w.item.registry
	q.lock()
	mounter, ok := w.place.Target.(content.Mounter)
	ask := ok && !r.checked && w.item.blob.Size > probeLimit
	r.checked = r.checked || ask
	q.unlock()
	if !ask {
		return
	}
	upload, err := mounter.Mount(ctx, w.item.blob, w.repository)
	q.cancelUpload(ctx, w, upload)
	if err != nil && !errors.Is(err, content.ErrNotMounted) {
		return
	}
	v := no
	if err == nil && upload == nil {
		v = yes
	}
	q.lock()
	defer q.unlock()
	q.learn(r, abilityProbe, &r.probes, v)
}

// cancelTimeout is how long giving up an upload may take.
const cancelTimeout = 5 * time.Second

// cancelUpload gives an upload up, also when ctx has ended; nil is none. A registry that is
// down is not asked for that: it purges the session itself, as one that cannot be cancelled.
func (q *Queue) cancelUpload(ctx context.Context, w *want, upload content.Upload) {
	if upload == nil || q.options.Limiter.Down(w.item.registry.peer.Registry) {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer stop()
	_ = upload.Cancel(ctx)
}
