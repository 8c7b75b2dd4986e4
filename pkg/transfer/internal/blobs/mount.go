package blobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// verdict is whether a registry has an ability, if known.
type verdict uint8

const (
	unknown verdict = iota
	yes
	no
	// committed: it mounts only blobs that a manifest refers to, like Amazon ECR.
	committed
)

// The names under which abilities are remembered.
const (
	// abilityProbe: it answers a mount from the blob's own repository with 201 if the blob exists.
	abilityProbe = "probe"
	// abilityMount: it mounts blobs from one repository into another.
	abilityMount = "mount"
	// abilityCut: it keeps an upload whose connection broke.
	abilityCut = "cut"
	// abilityRange: an upload can be continued from the offset that it states.
	abilityRange = "range"
)

// word returns the remembered value for a verdict about an ability.
func (v verdict) word(ability string) string {
	words := map[string][]string{
		abilityProbe:   {yes: "yes", no: "no"},
		abilityMount:   {yes: "yes", no: "no", committed: "committed"},
		abilityCut:     {yes: "kept", no: "lost"},
		abilityRange:   {yes: "right", no: "wrong"},
		abilityPartial: {no: "no"},
	}
	return words[ability][v]
}

// abilities are what a registry is known to support.
type abilities struct {
	mounts, probes verdict
	// cut is abilityCut: a loss is an upload that the registry no longer has. ranges is abilityRange: a loss is a
	// continued upload that it refuses.
	cut, ranges  continuing
	lostReported bool // the observer was notified
	// mountAgain: in an earlier run it refused mounts, or those without a manifest; this run tries one mount.
	mountAgain bool
	// mountsEarly: it granted a mount from a repository without a manifest.
	mountsEarly bool
	// committedKept: the verdict committed has been remembered.
	committedKept bool
	// checked: this run has confirmed the remembered support for probes, or there is no memory.
	checked bool
}

// continuing is whether a registry continues uploads, in one respect.
type continuing struct {
	verdict verdict
	losses  int       // in a row
	lastAt  time.Time // of the last loss
}

// losesUploads reports whether the registry is known not to continue uploads.
func (a *abilities) losesUploads() bool { return a.cut.verdict == no || a.ranges.verdict == no }

// recall reads the abilities that earlier runs remembered. This run corrects them. Until then an outdated ability costs little:
// a registry that no longer answers probes may receive a large blob that it has, and one that now mounts costs one request.
func recall(memory Abilities, registry string) abilities {
	a := abilities{checked: memory == nil}
	if memory == nil {
		return a
	}
	recalled := func(ability string, v verdict) bool {
		seen, known := memory.Ability(registry, ability)
		return known && seen == v.word(ability)
	}
	switch {
	case recalled(abilityProbe, yes):
		a.probes = yes
	case recalled(abilityProbe, no):
		a.checked = true
	}
	switch {
	case recalled(abilityMount, no):
		a.mounts, a.mountAgain = no, true
	case recalled(abilityMount, committed):
		a.mounts, a.mountAgain, a.committedKept = committed, true, true
	}
	if recalled(abilityCut, no) {
		a.cut.verdict = no
	}
	if recalled(abilityRange, no) {
		a.ranges.verdict = no
	}
	return a
}

// learn records an ability for this run and later ones. q.mu is held.
func (c continuation) learn(ability string, known *verdict, v verdict) {
	if *known != v {
		*known = v
		c.remember(ability, v)
	}
}

// remember records an ability for later runs. q.mu is held.
func (c continuation) remember(ability string, v verdict) {
	q, r := c.queue, c.want.item.registry
	if memory := q.options.Abilities; memory != nil {
		q.afterUnlock = append(q.afterUnlock, func() { memory.KeepAbility(r.name, ability, v.word(ability)) })
	}
}

// shares reports whether repositories of a registry wait for each other's blobs, to mount them.
func (r *registry) shares(target content.Target) bool {
	_, can := target.(content.Mounter)
	return can && r.mounts != no
}

// willMount reports whether a registry is known to mount blobs, at once or once a manifest refers to them.
func (r *registry) willMount() bool {
	return r.mounts == yes || r.mounts == committed && r.committedKept
}

// mountable finds a repository that a blob can be mounted from. wait reports that there is
// none yet, but that an earlier delivery will push a manifest that refers to the blob.
// A delivery waits only for earlier ones in the file's order, so that no wait is circular.
func (it *item) mountable(w *want) (from string, wait bool) {
	r := it.registry
	if _, can := w.place.Target.(content.Mounter); !can || r.mounts == no && !r.mountAgain || it.at[w.repository].mustSend() {
		return "", false
	}
	for repository, p := range it.at {
		early := p.by != nil && !p.by.ended && !p.committed
		switch {
		case repository == w.repository:
		case early && r.mounts == committed && !r.mountAgain:
			wait = wait || p.by.order < w.order
		case !it.refused[repository] && (!early || r.mounts != no):
			from = repository
		}
	}
	return from, wait && from == ""
}

// mount requests a mount from another repository of the registry. It returns the upload that a registry may open instead.
func (a *attempt) mount(ctx context.Context, from string) (granted bool, upload content.Upload, err error) {
	q, w := a.queue, a.want
	q.lock()
	it, r := w.item, w.item.registry
	p := it.at[from]
	sent := p != nil && p.put
	referenced := p != nil && p.committed
	early := sent && !referenced
	skip := r.mounts == no && !r.mountAgain
	r.mountAgain = false
	q.unlock()
	if skip {
		return false, nil, nil
	}
	upload, err = w.place.Target.(content.Mounter).Mount(ctx, w.item.blob, from) //nolint:forcetypeassert // mountable has checked
	granted = err == nil && upload == nil
	if err != nil && !errors.Is(err, content.ErrNotMounted) {
		return false, nil, w.failure(err)
	}
	q.lock()
	defer q.unlock()
	provedEarly := granted && early && !p.by.named()
	r.mountsEarly = r.mountsEarly || provedEarly
	switch {
	case granted && (r.mounts != committed || provedEarly):
		a.learn(abilityMount, &r.mounts, yes)
	case granted && referenced && it.uncommitted == from && !r.committedKept: // before the manifest, it refused this mount
		r.committedKept = true
		a.remember(abilityMount, committed)
	case granted:
	case referenced && sent && r.mounts != yes:
		a.learn(abilityMount, &r.mounts, no)
	case sent && r.mounts == unknown, early && r.mounts == yes && !r.mountsEarly:
		r.mounts = committed
	}
	if !granted {
		// A manifest that was put meanwhile makes the refusal outdated.
		outdated := !referenced && p != nil && p.committed
		it.refused[from] = !outdated
		if early {
			it.uncommitted = from
		}
	}
	return granted, upload, nil
}

// named reports whether a manifest of the delivery may refer to the blobs that it put. d may be nil.
func (d *Delivery) named() bool { return d == nil || d.ended || d.manifests }

// hints are repositories that may have a blob: the source's own, if it is in the same registry, and up to two of Options.Hints.
func (a *attempt) hints() []string {
	q, w := a.queue, a.want
	const most = 2
	q.lock()
	shares := w.item.registry.shares(w.place.Target) && !w.item.at[w.repository].mustSend()
	q.unlock()
	if !shares {
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

// probeLimit is the size, in bytes, above which a blob is checked by HEAD while it is not
// known whether the registry answers probes.
const probeLimit = 1 << 20

// check finds out whether a blob is in the repository. A probe does that and opens the upload in one request. While support for
// probes is unknown, only small blobs are probed. A blob that the registry reported as missing is never probed. open is the
// upload that a refused mount opened, or nil.
func (a *attempt) check(ctx context.Context, open content.Upload) (there bool, upload content.Upload, err error) {
	q, w := a.queue, a.want
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
				a.admit()
			}
			q.lock()
			defer q.unlock()
			w.item.registry.noteCheck(upload == nil)
			if upload == nil {
				w.item.registry.checked = true
				a.learn(abilityProbe, &w.item.registry.probes, yes)
			}
			return upload == nil, upload, nil
		}
		if !errors.Is(err, content.ErrNotMounted) || errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrQuota) {
			return false, nil, w.failure(err)
		}
	}
	there, err = w.place.Target.HasBlob(ctx, w.item.blob)
	if err != nil {
		return there, open, w.failure(err)
	}
	q.lock()
	defer q.unlock()
	w.item.registry.noteCheck(there)
	return there, open, nil
}

// expectsAbsent reports whether a blob is small and probably absent. It is then opened at its source during the check,
// which saves a round trip.
func (a *attempt) expectsAbsent() bool {
	q, it := a.queue, a.want.item
	q.lock()
	defer q.unlock()
	return it.blob.Size <= retainedSize && it.registry.absent >= enoughAbsent && it.at[a.want.repository] == nil
}

// checkProbe tests, once in a run and after a large blob was sent, whether the registry answers
// probes. Later runs rely on the result, and what earlier runs remembered may be outdated.
func (a *attempt) checkProbe(ctx context.Context) {
	q, w := a.queue, a.want
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
	a.cancelUpload(ctx, upload)
	if err != nil && !errors.Is(err, content.ErrNotMounted) {
		return
	}
	v := no
	if err == nil && upload == nil {
		v = yes
	}
	q.lock()
	defer q.unlock()
	a.learn(abilityProbe, &r.probes, v)
}
