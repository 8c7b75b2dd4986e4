package referrers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// listAttempts is how often a list is written while another client keeps overwriting it.
const listAttempts = 3

// Pusher pushes the manifests of one destination.
type Pusher interface {
	// Need requests the blobs of a tree.
	Need(tree *content.Tree)
	// PushBelow waits for the blobs of a manifest and pushes its children. moved: the destination lacked
	// a blob of the manifest.
	PushBelow(ctx context.Context, tree *content.Tree, m *content.Manifest) (moved bool, err error)
	// Push then pushes the manifest, and moves the tag unless it is empty.
	Push(ctx context.Context, tree *content.Tree, m *content.Manifest, tag string) (content.ManifestPushed, error)
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

// Push copies referrers to a destination, each once in a run and none before its subject, and adds them
// to the lists of their subjects. It returns how many were copied, and what failed.
func (f *Finder) Push(ctx context.Context, by Pusher, to Destination, missing []*Referrer) (copied int, failures []*Error) {
	at := to.Target.Location()
	missing = slices.DeleteFunc(slices.Clone(missing), func(r *Referrer) bool {
		err := f.refusals.known(at, r, true)
		if err != nil {
			failures = append(failures, r.refused(err))
		} else {
			by.Need(r.Tree)
		}
		return err != nil
	})
	var mu sync.Mutex
	present, unlisted := map[digest.Digest]bool{}, map[*list]bool{}
	push := func(_ int, r *Referrer) {
		put, executed, err := f.push(ctx, by, to, r)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil && refusesKind(err):
			f.refusals.keep(at, r, err)
			failures = append(failures, r.refused(err))
		case err != nil:
			failures = append(failures, r.failed(err))
		default:
			present[r.Descriptor.Digest] = true
			if executed && !put.existed {
				copied++
			}
			if r.list != nil && put.answer.Subject == "" {
				unlisted[r.list] = true
			}
		}
	}
	for rest := missing; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(r *Referrer) bool { return r.depth != rest[0].depth })
		if n < 0 {
			n = len(rest)
		}
		inParallel(rest[:n], push)
		rest = rest[n:]
	}
	for l := range unlisted {
		if err := f.pushList(ctx, to.Target, l, present); err != nil {
			failures = append(failures, l.failed(to.Failed(err)))
		}
	}
	return copied, failures
}

// push copies one referrer. If another delivery fails to copy it, this one tries.
func (f *Finder) push(ctx context.Context, by Pusher, to Destination, r *Referrer) (put pushed, executed bool, err error) {
	at := to.Target.Location()
	for {
		put, executed, err = f.pushes.Do(ctx, f.answers.Running, pushKey{at, r.tag, r.Descriptor.Digest}, func(ctx context.Context) (pushed, error) {
			moved, err := by.PushBelow(ctx, r.Tree, r.Tree.Root)
			if err != nil {
				return pushed{}, err
			}
			root := r.Tree.Root.Descriptor
			if r.tag != "" && to.Lacks && !moved { // some registries refuse to overwrite a tag even with the same manifest
				there, err := to.Target.Resolve(ctx, r.tag)
				if err == nil && there.Digest == root.Digest {
					f.answers.tags.Keep(nameAt{at, r.tag}, there)
					return pushed{existed: true}, nil
				}
			}
			answer, err := by.Push(ctx, r.Tree, r.Tree.Root, r.tag)
			if err != nil {
				return pushed{}, putError{err}
			}
			if r.tag != "" {
				f.answers.tags.Keep(nameAt{at, r.tag}, root)
			}
			return pushed{answer: answer}, nil
		})
		_, told := errors.AsType[putError](err)
		if err == nil || executed || told || ctx.Err() != nil {
			return put, executed, err
		}
	}
}

// putError is the answer of a destination to the manifest of a referrer. Other deliveries that wait for the
// same push would get the same answer.
type putError struct{ error }

func (e putError) Unwrap() error { return e.error }

// refusesKind reports whether the repository refused the manifest because of its kind.
func refusesKind(err error) bool {
	put, ok := errors.AsType[putError](err)
	answer, _ := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err)
	return ok && (errors.Is(put, content.ErrUnsupported) || answer != nil && answer.HTTPStatus() == http.StatusUnsupportedMediaType)
}

// List puts a manifest on the list of its subject, at a place that keeps no such lists itself. It
// returns what failed.
func (f *Finder) List(ctx context.Context, to Destination, m *content.Manifest) []*Error {
	d := m.Referrer()
	l := &list{subject: m.Subject.Digest, loaded: true, entries: []content.Descriptor{d}}
	if err := f.pushList(ctx, to.Target, l, map[digest.Digest]bool{d.Digest: true}); err != nil {
		return []*Error{l.failed(to.Failed(err))}
	}
	return nil
}

// pushList updates the list that is kept under a tag in a registry without the referrers API. A
// destination without other entries gets the source's list, byte for byte. Otherwise the
// new entries are merged: the list is read, extended, pushed, and read again, because other clients
// write it, too. Within a run there is one writer at a time.
func (f *Finder) pushList(ctx context.Context, to content.Target, l *list, present map[digest.Digest]bool) error {
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
		var have []content.Descriptor
		if there.Digest != "" && !isList(there) {
			return fmt.Errorf("the tag %s does not point at a list of referrers: %w", tag, content.ErrInvalid)
		}
		if there.Digest != "" {
			m, err := f.answers.fetchNamed(ctx, to, tag, there)
			if err != nil {
				return err
			}
			have = m.Manifests
		}
		wanted := slices.Clone(have)
		for _, d := range l.entries {
			if present[d.Digest] && !isSubset([]digest.Digest{d.Digest}, digestsOf(have)) {
				wanted = append(wanted, d)
			}
		}
		if len(wanted) == len(have) {
			f.answers.tags.Keep(nameAt{to.Location(), tag}, there)
			f.answers.keepBelow(there.Digest, digestsOf(have))
			return nil
		}
		if attempt == listAttempts {
			return errors.New("another client keeps overwriting it")
		}
		d, raw := l.origin, l.raw
		if raw == nil || len(wanted) != len(l.entries) || !isSubset(digestsOf(wanted), digestsOf(l.entries)) {
			if d, raw, err = content.NewReferrersList(wanted); err != nil {
				return err
			}
		}
		if _, err := to.PushManifest(ctx, d, raw, tag); err != nil {
			return err
		}
		f.answers.Manifests.Keep(to.Location(), d, raw)
	}
}
