// Package conflict decides which image is written to a tag if several could be: the one that is first in the
// configuration.
//
// Start at [Table]. A run registers its sources there, and claims the tags of each source when they are known;
// explain does the same. [Check] claims the tags that are known from the configuration alone, so that all three give
// the same answer. The answer is the same in every run: a source waits for earlier sources, and if one of those
// cannot be listed, no other source writes the tags that it may write.
package conflict

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Destination returns the name of an image at a destination.
type Destination interface {
	Reference(image reference.Reference) (reference.Reference, error)
}

// Entry has the parts of an entry of the configuration that this package needs.
type Entry struct {
	Name         string
	Tags         tags.Selector
	Destinations []Destination
	// platforms is a key that is equal for equal selections, in any order.
	platforms string
}

// NewEntry returns an entry of the configuration.
func NewEntry[D Destination](name string, selector tags.Selector, platforms []content.Platform, destinations []D) *Entry {
	e := &Entry{Name: name, Tags: selector, Destinations: make([]Destination, len(destinations))}
	for i, to := range destinations {
		e.Destinations[i] = to
	}
	names := make([]string, len(platforms))
	for i, p := range platforms {
		names[i] = content.FormatPlatform(p)
	}
	slices.Sort(names)
	e.platforms = strings.Join(names, ",")
	return e
}

// Order is a place in the configuration: the entry, the source, and the match of a pattern.
type Order [3]int

// Before reports whether o is before another position.
func (o Order) Before(other Order) bool { return slices.Compare(o[:], other[:]) < 0 }

// Writer is one source of an entry.
type Writer struct {
	Order Order
	Entry *Entry
	// Source is an image or a repository. Of a pattern of repositories the open parts are [Wild].
	Source reference.Reference
	// Unwanted: its images are not copied in this run, but it still decides who writes a tag.
	Unwanted bool

	tags    []string // of a repository, once they are claimed
	madeUp  bool     // the last of them represents the tags of a listing
	spreads []spread // one for each destination
	decided bool
	failed  bool
	claims  bool
}

// Forget frees the tags, unless a claim needs them. Images of w must not be checked afterwards.
func (w *Writer) Forget() {
	if !w.claims {
		w.tags = nil
	}
}

func (w *Writer) image(i int) Image {
	switch {
	case w.Source.Identifier() != "":
		return Image{Reference: w.Source}
	case w.madeUp && i == len(w.tags)-1:
		return Image{w.Source.WithTag(w.tags[i]), probed}
	default:
		return Image{Reference: w.Source.WithTag(w.tags[i])}
	}
}

func (w *Writer) images() int {
	if w.Source.Identifier() != "" {
		return 1
	}
	return len(w.tags)
}

// Image is an image, or the tag that it is written to.
type Image struct {
	reference.Reference
	origin origin
}

// Table decides who writes which tag. It is not safe for concurrent use. Only tags in repositories that several writers
// may write to are remembered.
type Table struct {
	known map[string]*group // by the repository's name
	wild  []*Writer         // those that write to repositories not known yet
	taken map[Image]claim
}

// group is the writers to one repository, in the order of the configuration.
type group struct {
	writers []*Writer
	failed  []*Writer
	// first is the first that may be undecided.
	first int
}

// claim is one image at one destination of its entry.
type claim struct {
	writer *Writer
	image  int
	to     int
}

func (c claim) source() Image { return c.writer.image(c.image) }

// sameImage reports whether both write the same to a tag.
func (c claim) sameImage(other claim) bool {
	return c.source() == other.source() && c.writer.Entry.platforms == other.writer.Entry.platforms
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{known: map[string]*group{}, taken: map[Image]claim{}} }

// Register adds a writer whose tags are not known yet.
func (t *Table) Register(w *Writer) {
	w.spreads = make([]spread, len(w.Entry.Destinations))
	for i, to := range w.Entry.Destinations {
		s := w.spread(to)
		w.spreads[i] = s
		switch {
		case s.name == "":
		case s.repositories != nil:
			if !slices.Contains(t.wild, w) {
				t.wild = append(t.wild, w)
			}
		default:
			if t.known[s.name] == nil {
				t.known[s.name] = &group{}
			}
			t.known[s.name].add(w)
		}
	}
}

func byOrder(a, b *Writer) int { return slices.Compare(a.Order[:], b.Order[:]) }

func (g *group) add(w *Writer) {
	at, found := slices.BinarySearchFunc(g.writers, w, byOrder)
	if !found {
		g.writers = slices.Insert(g.writers, at, w)
		g.first = min(g.first, at)
	}
}

// undecidedBefore reports whether a writer before w has not been decided.
func (g *group) undecidedBefore(w *Writer) bool {
	for g.first < len(g.writers) && g.writers[g.first].decided {
		g.first++
	}
	return g.first < len(g.writers) && g.writers[g.first].Order.Before(w.Order)
}

// Remove takes back a writer that writes nothing: a pattern, whose matches are registered in its place, or a source
// that the run does not need.
func (t *Table) Remove(w *Writer) {
	w.decided = true
	same := func(other *Writer) bool { return other == w }
	t.wild = slices.DeleteFunc(t.wild, same)
	for _, s := range w.spreads {
		if g := t.known[s.name]; g != nil {
			g.writers, g.first = slices.DeleteFunc(g.writers, same), 0
		}
	}
}

// groups are the known repositories that a spread means.
func (t *Table) groups(s spread) iter.Seq[*group] {
	return func(yield func(*group) bool) {
		if s.repositories == nil {
			if g := t.known[s.name]; g != nil {
				yield(g)
			}
			return
		}
		for name, g := range t.known {
			if s.repositories.MatchString(name) && !yield(g) {
				return
			}
		}
	}
}

// wildRivals are the other writers to repositories not known yet that may write to what a spread means.
func (t *Table) wildRivals(w *Writer, s spread) iter.Seq[*Writer] {
	return func(yield func(*Writer) bool) {
		for _, other := range t.wild {
			if other != w && slices.ContainsFunc(other.spreads, s.meets) && !yield(other) {
				return
			}
		}
	}
}

// Waits reports whether a writer before w may still claim what w writes to.
func (t *Table) Waits(w *Writer) bool {
	for _, s := range w.spreads {
		for g := range t.groups(s) {
			if g.undecidedBefore(w) {
				return true
			}
		}
		for other := range t.wildRivals(w, s) {
			if !other.decided && other.Order.Before(w.Order) {
				return true
			}
		}
	}
	return false
}

// Precedes reports whether w is before a wanted writer to the same repository.
func (t *Table) Precedes(w *Writer) bool {
	after := func(other *Writer) bool { return !other.Unwanted && w.Order.Before(other.Order) }
	for _, s := range w.spreads {
		for g := range t.groups(s) {
			if slices.ContainsFunc(g.writers, after) {
				return true
			}
		}
		for other := range t.wildRivals(w, s) {
			if after(other) {
				return true
			}
		}
	}
	return false
}

// contested reports whether tags in a spread of w may be written twice: by another writer, or by another
// destination of the same entry.
func (t *Table) contested(w *Writer, s spread) bool {
	if s.repositories != nil {
		return true
	}
	own := 0
	for _, other := range w.spreads {
		if s.meets(other) {
			own++
		}
	}
	for range t.wildRivals(w, s) {
		return true
	}
	return own > 1 || s.name != "" && len(t.known[s.name].writers) > 1
}

// Claim decides a writer: it writes those of its tags, of a repository, that no writer before it has claimed.
func (t *Table) Claim(w *Writer, tags []string) {
	w.tags, w.decided = tags, true
	for to, s := range w.spreads {
		if !t.contested(w, s) {
			continue
		}
		for i := range w.images() {
			target, ok := w.target(i, to)
			if _, taken := t.taken[target]; ok && !taken {
				t.taken[target] = claim{w, i, to}
				w.claims = true
			}
		}
	}
}

// target returns the tag to which an image is written; none if it is written by its digest.
func (w *Writer) target(image, to int) (Image, bool) {
	from := w.image(image)
	target, err := w.Entry.Destinations[to].Reference(from.Reference)
	return Image{target.WithTag(target.Tag), from.origin}, err == nil && target.Tag != ""
}

// Fail decides a writer that cannot be listed, so that it is not known what it would write.
func (t *Table) Fail(w *Writer) {
	w.decided, w.failed = true, true
	for _, s := range w.spreads {
		if g := t.known[s.name]; g != nil {
			g.failed = append(g.failed, w)
		}
	}
}

// Check reports whether a decided writer writes an image to a target. Again means that the same image is already
// written there. With an error, a [CollisionError] or an [UndecidedError], it is not written.
func (t *Table) Check(w *Writer, image, to int, target reference.Reference) (again bool, err error) {
	if target.Tag == "" {
		return false, nil
	}
	target = target.WithTag(target.Tag)
	now := claim{w, image, to}
	first, taken := t.taken[Image{Reference: target}]
	if !taken {
		first = now
	}
	if unknown := t.unknown(first, target); unknown != nil {
		unlisted := unknown.Source
		unlisted.Repository = strings.ReplaceAll(unlisted.Repository, Wild, "*")
		return false, &UndecidedError{Destination: target, Source: now.source().Reference, Unlisted: unlisted, Entry: unknown.Entry.Name}
	}
	switch {
	case first == now:
		return false, nil
	case first.sameImage(now):
		return true, nil
	default:
		return false, &CollisionError{
			Destination: target, Source: now.source().Reference, First: first.source().Reference, Entry: first.writer.Entry.Name,
		}
	}
}

// unknown is a writer before the first that is known, that may write another image to a target and could not be listed.
func (t *Table) unknown(first claim, target reference.Reference) *Writer {
	may := func(w *Writer) bool {
		if !w.failed || !w.Order.Before(first.writer.Order) {
			return false
		}
		image, may := w.Origin(target)
		same := image == first.source().Reference && w.Entry.platforms == first.writer.Entry.platforms
		return may && !same
	}
	if g := t.known[target.Name()]; g != nil {
		if i := slices.IndexFunc(g.failed, may); i >= 0 {
			return g.failed[i]
		}
	}
	if i := slices.IndexFunc(t.wild, may); i >= 0 {
		return t.wild[i]
	}
	return nil
}

// CollisionError reports a tag to which two different images would be written.
type CollisionError struct {
	Destination reference.Reference
	// Source is the image that is not written.
	Source reference.Reference
	// First is the one that is written, for the entry of that name.
	First reference.Reference
	Entry string
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("%s is not copied to %s: entry %s copies %s to this tag",
		e.Source.Familiar(), e.Destination.Familiar(), e.Entry, e.First.Familiar())
}

// ErrorCode and Reason are for [content.AnswerOf]: one cause for all tags that an entry keeps from another.
func (e *CollisionError) ErrorCode() string { return "COLLISION" }

// Reason does not name the tag.
func (e *CollisionError) Reason() string {
	return fmt.Sprintf("entry %s copies another image to the tag", e.Entry)
}

// UndecidedError reports an image that is not written to a tag in this run, because an earlier source, which could
// not be listed, may write an image there. The failed listing has its own error; this one is a
// [transfer.ErrDeferred].
type UndecidedError struct {
	Destination reference.Reference
	// Source is the image that is not written.
	Source reference.Reference
	// Unlisted is what could not be listed, for the entry of that name.
	Unlisted reference.Reference
	Entry    string
}

func (e *UndecidedError) Error() string {
	return fmt.Sprintf("%s is not copied to %s: %s (entry %s) has precedence and could not be listed",
		e.Source.Familiar(), e.Destination.Familiar(), e.Unlisted.Familiar(), e.Entry)
}

// ErrorCode and Reason are for [content.AnswerOf]: one cause for all tags that wait for a source.
func (e *UndecidedError) ErrorCode() string { return "UNDECIDED" }

// Reason does not name the tag.
func (e *UndecidedError) Reason() string {
	return fmt.Sprintf("%s (entry %s) has precedence and could not be listed", e.Unlisted.Familiar(), e.Entry)
}

// Is makes it a [transfer.ErrDeferred].
func (e *UndecidedError) Is(target error) bool { return target == transfer.ErrDeferred }
