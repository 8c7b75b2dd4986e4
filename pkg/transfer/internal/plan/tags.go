package plan

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

// inventoryTags is how many tags of a destination's repository are listed at most: a longer listing
// takes more pages than it saves requests.
const inventoryTags = 1000

// abilityTags: an earlier run has copied tags to the registry, so that it probably has most of them, and
// resolving them is better than listing the repository.
const abilityTags = "tags"

// inventories know which tags the repositories of destinations lack. If a repository lacks a tag, its
// tags are listed, so that the others that it lacks cost no request each. On a first run it is listed
// before any tag is resolved. The zero value is ready.
type inventories struct {
	turns flight.Locks[content.Location]

	mu     sync.Mutex
	places map[content.Location]inventory
	before flight.Memo[string, bool] // whether an earlier run has copied tags to a registry
	now    sync.Map                  // registries that this run has copied tags to
}

// inventory is what a run knows about the tags of one repository.
type inventory struct {
	state inventoryState
	tags  map[string]bool // if state is listed
}

type inventoryState int

const (
	unasked    inventoryState = iota
	hadAll                    // every tag that was resolved was found
	lackedOne                 // a tag was not found: listed before the next request
	listed                    // has inventory.tags and no others
	unlistable                // each tag is resolved
)

// settled reports whether tags may be resolved concurrently.
func (s inventoryState) settled() bool { return s != unasked && s != lackedOne }

// resolveAt finds what a tag, or digest, of a destination points at.
func (r *Run) resolveAt(ctx context.Context, q *Request) (content.Descriptor, error) {
	if q.Digest != "" && q.Tag == "" || !q.Listable {
		return q.Target.Resolve(ctx, q.written())
	}
	return r.inventories.resolve(ctx, q.Target, q.Tag, func() bool { return r.firstRun(q) })
}

// listsFirst reports whether the tags of a destination are listed, or will be before the tag is resolved.
func (r *Run) listsFirst(q *Request) bool {
	if q.Target == nil || q.Tag == "" || !q.Listable {
		return false
	}
	state := r.inventories.get(q.Target.Location()).state
	return state == listed || state == lackedOne || state == unasked && r.firstRun(q)
}

// firstRun reports whether a target is probably empty, and more than one tag goes there: the source's repository was listed,
// and no earlier run has copied a tag to the target's registry.
func (r *Run) firstRun(q *Request) bool {
	if r.AttachedTags == nil || r.Abilities == nil {
		return false
	}
	if _, listed := r.AttachedTags(q.From.Location()); !listed {
		return false
	}
	registry := q.Target.Location().Registry
	filled, asked := r.inventories.before.Find(registry)
	if !asked {
		_, filled = r.Abilities.Ability(registry, abilityTags)
		r.inventories.before.Keep(registry, filled)
	}
	return !filled
}

// Arrived records that a target has a tag that this run was to copy there.
func (r *Run) Arrived(target content.Target) {
	if r.Abilities == nil {
		return
	}
	registry := target.Location().Registry
	if _, before := r.inventories.now.LoadOrStore(registry, true); !before {
		r.Abilities.KeepAbility(registry, abilityTags, "yes")
	}
}

// resolve finds what a tag points at. Other requests to a repository wait for the first one, which is
// the listing if listFirst returns true.
func (v *inventories) resolve(ctx context.Context, target content.Target, tag string, listFirst func() bool) (content.Descriptor, error) {
	at := target.Location()
	answered, err := v.turn(ctx, target, at, listFirst)
	if err != nil {
		return content.Descriptor{}, err
	}
	defer answered()
	if known := v.get(at); known.state == listed && !known.tags[tag] {
		return content.Descriptor{}, fmt.Errorf("tag %s: %w", tag, content.ErrNotFound)
	}
	d, err := target.Resolve(ctx, tag)
	if ctx.Err() == nil {
		v.learn(at, errors.Is(err, content.ErrNotFound))
	}
	return d, err
}

// turn waits until a tag of a repository may be resolved. The caller calls answered after the request.
func (v *inventories) turn(
	ctx context.Context, target content.Target, at content.Location, listFirst func() bool,
) (answered func(), err error) {
	if v.get(at).state.settled() {
		return func() {}, nil
	}
	unlock, err := v.turns.Lock(ctx, at)
	if err != nil {
		return nil, err
	}
	if state := v.get(at).state; state == lackedOne || state == unasked && listFirst() {
		v.list(ctx, target, at)
	}
	if v.get(at).state == unasked {
		return unlock, nil
	}
	unlock()
	return func() {}, nil
}

func (v *inventories) learn(at content.Location, lacked bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch known := v.places[at]; {
	case known.state > lackedOne:
	case lacked:
		v.setLocked(at, inventory{state: lackedOne})
	case known.state == unasked:
		v.setLocked(at, inventory{state: hadAll})
	}
}

// list lists the tags of a repository. If that fails, each tag is resolved instead.
func (v *inventories) list(ctx context.Context, target content.Target, at content.Location) {
	lister, ok := target.(content.TagLister)
	if !ok {
		v.set(at, inventory{state: unlistable})
		return
	}
	tags := map[string]bool{}
	for tag, err := range lister.Tags(ctx) {
		invalid, err := content.SplitInvalidNames(err)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, content.ErrNotFound): // no such repository yet
		case invalid != nil: // no job names an invalid tag
		case err != nil, len(tags) == inventoryTags:
			v.set(at, inventory{state: unlistable})
			return
		default:
			tags[tag] = true
		}
	}
	v.set(at, inventory{state: listed, tags: tags})
}

func (v *inventories) get(at content.Location) inventory {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.places[at]
}

func (v *inventories) set(at content.Location, known inventory) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setLocked(at, known)
}

// setLocked is set with v.mu held.
func (v *inventories) setLocked(at content.Location, known inventory) {
	if v.places == nil {
		v.places = map[content.Location]inventory{}
	}
	v.places[at] = known
}
