package layout

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// pushedManifest is a manifest whose file was written and that index.json does not list yet.
type pushedManifest struct {
	*content.Manifest
	tag string

	// Set while index.lock is held:
	done bool
	err  error
}

// pushedManifests are manifests that wait to be listed. The goroutine that gets index.lock lists all of them: a thousand referrers
// that are pushed one by one would write the list of their subject a thousand times. The zero value is ready.
type pushedManifests struct {
	mu      sync.Mutex
	waiting []*pushedManifest
}

func (p *pushedManifests) add(m *pushedManifest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, m)
}

// withdraw removes a manifest, unless it was taken.
func (p *pushedManifests) withdraw(m *pushedManifest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = filter(p.waiting, func(other *pushedManifest) bool { return other != m })
}

func (p *pushedManifests) take() []*pushedManifest {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.waiting
	p.waiting = nil
	return all
}

// enter lists a manifest in index.json, together with those that other goroutines have pushed meanwhile.
func (l *Layout) enter(ctx context.Context, m *content.Manifest, tag string) error {
	pushed := &pushedManifest{Manifest: m, tag: tag}
	l.pushed.add(pushed)
	err := l.locked(ctx, func() error {
		if pushed.done { // by another goroutine
			return nil
		}
		batch := l.pushed.take()
		ctx := context.WithoutCancel(ctx) // others wait for it
		var replaced, changed []content.Descriptor
		err := l.change(ctx, func(entries []content.Descriptor) ([]content.Descriptor, error) {
			changed, replaced = l.enterAll(ctx, entries, batch)
			return changed, nil
		})
		if err == nil {
			l.removeReplaced(ctx, replaced, changed)
		}
		for _, p := range batch {
			if p.done = true; p.err == nil {
				p.err = err
			}
		}
		return nil
	})
	if err == nil {
		err = pushed.err
	} else {
		l.pushed.withdraw(pushed)
	}
	if err != nil {
		return fmt.Errorf("update the images of %s: %w", l.path, err)
	}
	return nil
}

// enterAll lists manifests, the referrers of one subject together. One that fails does not affect the others. replaced are
// the lists of referrers before each step.
func (l *Layout) enterAll(ctx context.Context, entries []content.Descriptor, batch []*pushedManifest) (all, replaced []content.Descriptor) {
	for len(batch) > 0 {
		first := batch[0]
		related := func(p *pushedManifest) bool {
			return p == first || p.Subject != nil && first.Subject != nil && p.Subject.Digest == first.Subject.Digest
		}
		group := filter(batch, related)
		batch = filter(batch, func(p *pushedManifest) bool { return !related(p) })
		changed, err := l.enterGroup(ctx, slices.Clone(entries), group)
		switch {
		case err == nil:
			if first.Subject != nil {
				list := content.FallbackTag(first.Subject.Digest)
				replaced = append(replaced, filter(entries, func(e content.Descriptor) bool { return listTag(e) == list })...)
			}
			entries = changed
		case len(group) == 1:
			first.err = err
		default: // one of them fails, and not the others
			for _, p := range group {
				var before []content.Descriptor
				entries, before = l.enterAll(ctx, entries, []*pushedManifest{p})
				replaced = append(replaced, before...)
			}
		}
	}
	return entries, replaced
}

// enterGroup lists one manifest, or several with the same subject.
func (l *Layout) enterGroup(ctx context.Context, entries []content.Descriptor, group []*pushedManifest) (_ []content.Descriptor, err error) {
	var referrers []*content.Manifest
	for _, p := range group {
		if err := l.store(ctx, p.Manifest); err != nil { // a replaced list of referrers may have been removed meanwhile
			return nil, err
		}
		if p.tag != "" || p.Subject == nil {
			if entries, err = l.list(ctx, entries, p.Manifest, p.tag); err != nil {
				return nil, err
			}
		}
		if p.Subject != nil {
			referrers = append(referrers, p.Manifest)
		}
	}
	if len(referrers) == 0 {
		return entries, nil
	}
	return l.addReferrers(ctx, entries, referrers)
}

// ownLists are the lists of referrers that this process has written and that nothing but their entry in index.json is
// known to refer to. The zero value is ready.
type ownLists struct {
	mu  sync.Mutex
	own map[digest.Digest]bool
	// last is the list that was written last, with its referrers: the next referrer probably has the same subject.
	last      digest.Digest
	referrers []content.Descriptor
}

func (o *ownLists) add(d digest.Digest, referrers []content.Descriptor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.own == nil {
		o.own = map[digest.Digest]bool{}
	}
	o.own[d], o.last, o.referrers = true, d, referrers
}

// find returns the referrers on a list, if it is the one that was written last.
func (o *ownLists) find(list digest.Digest) (referrers []content.Descriptor, found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.referrers, o.last == list
}

// keep: d is requested as a blob or a manifest, so it stays.
func (o *ownLists) keep(d digest.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.own, d)
}

// forget: another process has changed the layout, and may refer to any of them.
func (o *ownLists) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.own = nil
}

// take reports whether d may be removed.
func (o *ownLists) take(d digest.Digest) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	own := o.own[d]
	delete(o.own, d)
	return own
}

// removeReplaced removes those lists of referrers that a change of index.json has replaced, and that nothing else
// refers to, as far as this process knows: it is the only one that has written since. Those that stay are for [Layout.GC]. The caller holds index.lock, under which what a manifest refers to is
// checked once more before it is listed.
func (l *Layout) removeReplaced(ctx context.Context, before, after []content.Descriptor) {
	for _, entry := range before {
		if listTag(entry) == "" || slices.ContainsFunc(after, func(e content.Descriptor) bool { return e.Digest == entry.Digest }) {
			continue
		}
		l.graph.forget(entry.Digest)
		if !l.lists.take(entry.Digest) {
			continue
		}
		if found, unreadable, err := l.search(ctx, after, entry.Digest); found != nil || unreadable || err != nil {
			continue
		}
		if path, err := l.blobFile(entry.Digest); err == nil && l.disk.Remove(path) == nil {
			l.blobs.forget(entry.Digest)
		}
	}
}
