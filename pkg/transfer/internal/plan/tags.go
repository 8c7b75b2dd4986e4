package plan

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
)

// inventoryTags is how many tags of a destination's repository are listed at most: more
// take too many pages for what they tell.
const inventoryTags = 1000

// abilityTags: an earlier run has brought tags to the registry, so that asking for those is
// worth more than listing what is there.
const abilityTags = "tags"

// inventories know which tags repositories of destinations lack. Where a repository lacks
// one, it is asked for all that it has; the tags that it lacks then cost no questions. On a
// first run that comes before all questions. The zero value is ready.
type inventories struct {
	turns flight.Locks[content.Location]

	mu     sync.Mutex
	places map[content.Location]inventory
	before map[string]bool // registries: filled by an earlier run
	now    map[string]bool // registries: filled by this one
}

// inventory is what a run knows about the tags of one repository.
type inventory struct {
	state inventoryState
	tags  map[string]bool // where they are listed
}

type inventoryState int

const (
	unasked    inventoryState = iota
	hadAll                    // had all tags that it was asked for
	lackedOne                 // lacked one: is listed before the next question
	listed                    // has inventory.tags and no other
	unlistable                // is asked for each tag
)

// settled reports whether all may ask at once.
func (s inventoryState) settled() bool { return s != unasked && s != lackedOne }

// resolveAt finds what a tag, or digest, of a destination points at.
func (r *Run) resolveAt(ctx context.Context, q *Request) (content.Descriptor, error) {
	if q.Digest != "" && q.Tag == "" || !q.Listable {
		return q.Target.Resolve(ctx, q.written())
	}
	return r.inventories.resolve(ctx, q.Target, q.Tag, func() bool { return r.firstRun(q) })
}

// listsFirst reports whether the tags of a destination are listed, or will be before it is asked.
func (r *Run) listsFirst(q *Request) bool {
	if q.Target == nil || q.Tag == "" || !q.Listable {
		return false
	}
	switch r.inventories.get(q.Target.Location()).state {
	case listed, lackedOne:
		return true
	case unasked:
		return r.firstRun(q)
	default:
		return false
	}
}

// firstRun reports whether a target is probably empty, and more than one tag goes there:
// the source's repository was listed, and no earlier run has brought the target's registry
// a tag.
func (r *Run) firstRun(q *Request) bool {
	if r.AttachedTags == nil || r.Abilities == nil {
		return false
	}
	_, listed := r.AttachedTags(q.From.Location())
	return listed && !r.inventories.filled(r.Abilities, q.Target.Location().Registry)
}

// filled reports whether an earlier run has brought a registry tags. The memory is asked
// without the lock: it may read a file.
func (v *inventories) filled(memory Abilities, registry string) bool {
	v.mu.Lock()
	filled, asked := v.before[registry]
	v.mu.Unlock()
	if asked {
		return filled
	}
	_, filled = memory.Ability(registry, abilityTags)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.before == nil {
		v.before = map[string]bool{}
	}
	v.before[registry] = filled
	return filled
}

// Arrived notes that a target has a tag that was to go there.
func (r *Run) Arrived(target content.Target) {
	registry := target.Location().Registry
	if r.Abilities != nil && r.inventories.first(registry) {
		r.Abilities.KeepAbility(registry, abilityTags, true)
	}
}

// first reports whether nothing was brought to a registry before in this run.
func (v *inventories) first(registry string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.now[registry] {
		return false
	}
	if v.now == nil {
		v.now = map[string]bool{}
	}
	v.now[registry] = true
	return true
}

// resolve finds what a tag points at. Nobody asks a repository before the first question
// to it is answered; where listFirst says so that is the list.
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

// turn waits until a repository may be asked for a tag. The caller calls answered once it
// was.
func (v *inventories) turn(ctx context.Context, target content.Target, at content.Location, listFirst func() bool) (answered func(), err error) {
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

// learn notes whether a repository lacked a tag.
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

// list asks a repository for its tags. What cannot be listed is asked for each tag.
func (v *inventories) list(ctx context.Context, target content.Target, at content.Location) {
	lister, ok := target.(content.TagLister)
	if !ok {
		v.set(at, inventory{state: unlistable})
		return
	}
	tags := map[string]bool{}
	for tag, err := range lister.Tags(ctx) {
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, content.ErrNotFound): // no such repository yet
		case onlyInvalidNames(err): // no job names one
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

// setLocked is set where v.mu is held.
func (v *inventories) setLocked(at content.Location, known inventory) {
	if v.places == nil {
		v.places = map[content.Location]inventory{}
	}
	v.places[at] = known
}

// onlyInvalidNames reports whether a listing is complete except for invalid tags.
func onlyInvalidNames(err error) bool {
	invalid, _ := content.SplitInvalidNames(err)
	return invalid != nil
}
