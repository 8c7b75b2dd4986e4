package referrers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
)

// listAttempts is how often a list is written while another client keeps overwriting it.
const listAttempts = 3

// Pusher pushes the manifests of one destination.
type Pusher interface {
	// Need requests the blobs of a tree.
	Need(tree *content.Tree)
	// PushBelow waits for the blobs that were requested and pushes the children. moved: a blob of
	// the root was not there.
	PushBelow(ctx context.Context, tree *content.Tree) (moved bool, err error)
	// PushRoot pushes the root after that, and moves the tag unless it is empty.
	PushRoot(ctx context.Context, tree *content.Tree, tag string) (content.ManifestPushed, error)
}

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

// Push copies referrers to a destination, each once in a run, and puts them on their lists. It
// returns how many were copied, and what failed; ctx's end is a failure.
func (f *Finder) Push(ctx context.Context, by Pusher, to Destination, missing []*Referrer) (copied int, failures []*Error) {
	if f.takesNone(to.Target, len(missing)) {
		return 0, nil
	}
	for _, r := range missing {
		by.Need(r.Tree)
	}
	var mu sync.Mutex
	brought, unlisted := map[digest.Digest]bool{}, map[*list]bool{}
	each(missing, func(r *Referrer) {
		put, executed, err := f.push(ctx, by, to, r)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil && refusesArtifacts(err):
			f.leaveOut(to.Target)
		case err != nil:
			failures = append(failures, r.failed(err))
		default:
			brought[r.Descriptor.Digest] = true
			if executed && !put.existed {
				copied++
			}
			if r.list != nil && put.answer.Subject == "" {
				unlisted[r.list] = true
			}
		}
	})
	for l := range unlisted {
		if err := f.pushList(ctx, to.Target, l, brought); err != nil {
			failures = append(failures, &Error{What: "list of referrers of " + l.subject.String(), Found: true, Err: to.Failed(err)})
		}
	}
	return copied, failures
}

// each calls do for referrers, several at a time, and for none before what it is attached to.
func each(referrers []*Referrer, do func(*Referrer)) {
	for len(referrers) > 0 {
		level := slices.IndexFunc(referrers, func(r *Referrer) bool { return r.depth != referrers[0].depth })
		if level < 0 {
			level = len(referrers)
		}
		var group errgroup.Group
		group.SetLimit(parallel)
		for _, r := range referrers[:level] {
			group.Go(func() error {
				do(r)
				return nil
			})
		}
		_ = group.Wait()
		referrers = referrers[level:]
	}
}

// push copies one referrer. If another delivery fails to copy it, this one tries.
func (f *Finder) push(ctx context.Context, by Pusher, to Destination, r *Referrer) (put pushed, executed bool, err error) {
	key := pushKey{to.Target.Location(), r.tag, r.Descriptor.Digest}
	for {
		put, executed, err = f.pushes.Do(ctx, f.running, key, func(ctx context.Context) (pushed, error) {
			moved, err := by.PushBelow(ctx, r.Tree)
			if err != nil {
				return pushed{}, err
			}
			at := nameAt{to.Target.Location(), r.tag}
			// Some registries refuse to overwrite a tag even with the same manifest.
			if r.tag != "" && to.Lacks && !moved {
				there, err := to.Target.Resolve(ctx, r.tag)
				if err == nil && there.Digest == r.Tree.Root.Descriptor.Digest {
					f.answers.tags.Keep(at, there)
					return pushed{existed: true}, nil
				}
			}
			answer, err := by.PushRoot(ctx, r.Tree, r.tag)
			if err == nil && r.tag != "" {
				f.answers.tags.Keep(at, r.Tree.Root.Descriptor)
			}
			return pushed{answer: answer}, err
		})
		if err == nil || executed || ctx.Err() != nil {
			return put, executed, err
		}
	}
}

// refusesArtifacts reports whether a registry takes no manifests of a kind.
func refusesArtifacts(err error) bool {
	status, _ := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err)
	return errors.Is(err, content.ErrUnsupported) || status != nil && status.HTTPStatus() == http.StatusUnsupportedMediaType
}

// takesNone counts referrers that are left out because a registry takes no artifacts.
func (f *Finder) takesNone(at content.Target, n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	registry := at.Location().Registry
	if f.noArtifacts[registry] == 0 {
		return false
	}
	f.noArtifacts[registry] += n
	return true
}

func (f *Finder) leaveOut(at content.Target) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noArtifacts[at.Location().Registry]++
}

// pushList updates the list that a registry without the referrers API keeps under a tag. A
// destination without entries of its own gets the source's list, byte for byte. Otherwise the
// new entries are merged: the list is read, extended, pushed, and read again, because others
// write it, too. Within a run there is one writer at a time.
func (f *Finder) pushList(ctx context.Context, to content.Target, l *list, brought map[digest.Digest]bool) error {
	unlock, err := f.lists.Lock(ctx, nameAt{to.Location(), l.subject.String()})
	if err != nil {
		return err
	}
	defer unlock()
	tag := content.FallbackTag(l.subject)
	for attempt := 0; ; attempt++ {
		there, err := to.Resolve(ctx, tag)
		if err != nil && !errors.Is(err, content.ErrNotFound) {
			return err
		}
		have, err := readList(ctx, f.manifests.Reader(to), there)
		if err != nil {
			return err
		}
		if l.within(have, func(d digest.Digest) bool { return brought[d] }) {
			f.keepList(to.Location(), l, there, have)
			return nil
		}
		if attempt == listAttempts {
			return errors.New("another client keeps overwriting it")
		}
		wanted, err := l.merged(have, brought)
		if err != nil {
			return err
		}
		if _, err := to.PushManifest(ctx, wanted.descriptor, wanted.raw, tag); err != nil {
			return err
		}
		f.manifests.Keep(to.Location(), wanted.descriptor, wanted.raw)
	}
}

// keepList remembers the list at a place that has all entries of the source's.
func (f *Finder) keepList(at content.Location, l *list, there content.Descriptor, have []content.Descriptor) {
	f.answers.tags.Keep(nameAt{at, content.FallbackTag(l.subject)}, there)
	f.memory.keepBelow(there.Digest, digestsOf(have))
	if there.Digest != l.descriptor.Digest && l.within(have, func(digest.Digest) bool { return true }) {
		f.memory.keepSelected(l.descriptor.Digest, mergedKey(at), there)
	}
}
