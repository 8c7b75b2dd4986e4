package referrers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
)

// attached is what is attached to one subject.
type attached struct {
	all      []*Referrer // without the entries of a list that was not read
	below    []digest.Digest
	missing  []*Referrer
	kept     []string
	invalid  *content.InvalidNamesError
	failures []*Error
}

// digests returns all that is attached.
func (a *attached) digests() []digest.Digest {
	digests := a.below
	for _, r := range a.all {
		digests = append(digests, r.Descriptor.Digest)
	}
	return digests
}

// attachedTo finds what is attached to a subject at the source, compares it with the destination,
// and reads what is missing there.
func (s *search) attachedTo(ctx context.Context, known names, of subject) (a attached) {
	tagged, l, err := s.atSource(ctx, known, of)
	if err != nil {
		a.failures = append(a.failures, notKnown(of.digest, s.image.Failed(err)))
	}
	for _, r := range tagged {
		a.all = append(a.all, r)
		there, err := s.there(ctx, r)
		switch {
		case err != nil:
			a.failures = append(a.failures, r.failed(s.to.Failed(err)))
		case there == r.Descriptor.Digest:
		case there != "" && s.policy.KeepTags:
			a.kept = append(a.kept, r.tag)
		default:
			a.missing = append(a.missing, r)
		}
	}
	if l != nil {
		a.invalid = l.invalid
		missing, failure := s.missingOf(ctx, l)
		if failure != nil {
			a.failures = append(a.failures, failure)
		}
		a.missing = append(a.missing, missing...)
		if l.isLoaded() {
			for _, d := range l.entries {
				a.all = append(a.all, &Referrer{Descriptor: d, subject: of.digest, list: l})
			}
		} else {
			a.below = s.belowList(ctx, known, l)
		}
	}
	a.readTrees(ctx, s)
	return a
}

// belowList returns the entries of a list that the destination has, which was not read at the source:
// remembered, or read at the destination if the source has tags that may be named after them.
func (s *search) belowList(ctx context.Context, tags names, l *list) []digest.Digest {
	below, known := s.memory.below(l.descriptor.Digest)
	if known || !slices.ContainsFunc(slices.Collect(maps.Keys(tags)), func(d digest.Digest) bool { return !s.seen[d] }) {
		return below
	}
	below, err := readBelow(ctx, s.manifests.Reader(s.to.Target), l.descriptor, maxDepth)
	if err == nil {
		s.memory.keepBelow(l.descriptor.Digest, below)
	}
	return below
}

// atSource finds the tags of a subject, and the list of its referrers: that of the API or, if there
// is none or it is empty, the one under a tag. Its error is the first one; what else was found
// comes with it.
func (s *search) atSource(ctx context.Context, known names, of subject) (tagged []*Referrer, l *list, err error) {
	look := s.answers.tagAt
	if s.to.Lacks && known != nil {
		look = s.answers.wantedTagAt
	}
	suffixes := known.of(of)
	for _, suffix := range suffixes {
		if !s.policy.wants(suffix) {
			continue
		}
		tag := content.FallbackTag(of.digest) + suffix
		d, failure := s.sourceTag(ctx, tag, look)
		err = cmp.Or(err, failure)
		if d.Digest != "" {
			tagged = append(tagged, &Referrer{Descriptor: d, subject: of.digest, tag: tag})
		}
	}
	if of.api {
		answer, failure := s.answers.api(ctx, s.image.Source, of.digest)
		if entries := s.policy.taken(answer.listed); len(entries) > 0 || answer.invalid != nil {
			l, failure = newList(of.digest, entries)
			l.invalid = answer.invalid
		}
		err = cmp.Or(err, failure)
	}
	if l == nil && slices.Contains(suffixes, "") {
		var failure error
		l, failure = s.listUnderTag(ctx, of.digest)
		err = cmp.Or(err, failure)
	}
	return tagged, l, err
}

// there returns the digest of a cosign tag at the destination. A destination that lacks the image
// is taken to lack the tag, unless it must not be overwritten.
func (s *search) there(ctx context.Context, r *Referrer) (digest.Digest, error) {
	if s.to.Lacks && !s.policy.KeepTags {
		return "", nil
	}
	d, err := s.answers.tagAt(ctx, s.to.Target, r.tag)
	return d.Digest, err
}

// readTrees reads the manifests of what is missing. What cannot be read is not copied.
func (a *attached) readTrees(ctx context.Context, s *search) {
	errs := make([]error, len(a.missing))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, r := range a.missing {
		group.Go(func() error {
			r.Tree, errs[i] = s.readTree(ctx, r.Descriptor)
			return nil
		})
	}
	_ = group.Wait()
	for i, r := range a.missing {
		if errs[i] != nil {
			a.failures = append(a.failures, r.failed(s.image.Failed(errs[i])))
		}
	}
	a.missing = slices.DeleteFunc(a.missing, func(r *Referrer) bool { return r.Tree == nil })
}

func (s *search) readTree(ctx context.Context, d content.Descriptor) (*content.Tree, error) {
	reader := s.manifests.Reader(s.image.Source)
	root, err := content.FetchAndParse(ctx, reader, d)
	if err != nil {
		return nil, err
	}
	return content.FetchTree(ctx, reader, root, content.Limits{})
}

// sourceTag looks up a tag at the source, of which other tags could be read: a refusal means that
// there is no such tag.
func (s *search) sourceTag(ctx context.Context, tag string, look func(context.Context, content.Source, string) (content.Descriptor, error)) (content.Descriptor, error) {
	d, err := look(ctx, s.image.Source, tag)
	if refused(err) {
		return content.Descriptor{}, nil
	}
	return d, err
}

// listUnderTag returns the list that the source keeps under a tag, or nil. If only some types go
// along it is a list of its own, which is remembered, or made from the source's.
func (s *search) listUnderTag(ctx context.Context, subject digest.Digest) (*list, error) {
	d, err := s.sourceTag(ctx, content.FallbackTag(subject), s.answers.tagAt)
	if err != nil || d.MediaType != ocispec.MediaTypeImageIndex {
		return nil, err // anything else under that tag is no list
	}
	l := &list{subject: subject, descriptor: d, origin: d}
	if len(s.policy.Types) == 0 {
		return l, nil
	}
	types := slices.Clone(s.policy.Types)
	slices.Sort(types)
	key := "referrers/" + listVersion + " of the types " + strings.Join(slices.Compact(types), " ")
	if kept, known := s.memory.selected(d.Digest, key); known {
		l.descriptor = kept
		return l, nil
	}
	if err := s.load(ctx, l); err != nil {
		return nil, err
	}
	l.descriptor = content.NewDescriptor(ocispec.MediaTypeImageIndex, l.raw)
	s.memory.keepSelected(d.Digest, key, l.descriptor)
	return l, nil
}

// load reads a list at the source unless it is loaded.
func (s *search) load(ctx context.Context, l *list) error {
	if l.isLoaded() {
		return nil
	}
	m, err := content.FetchAndParse(ctx, s.manifests.Reader(s.image.Source), l.origin)
	if err != nil {
		return err
	}
	if len(m.Manifests) > maxReferrers {
		return tooMany()
	}
	entries, raw := m.Manifests, m.Raw
	if len(s.policy.Types) > 0 {
		taken, err := newList(l.subject, s.policy.taken(entries))
		if err != nil {
			return err
		}
		entries, raw = taken.entries, taken.raw
	}
	l.fill(entries, raw)
	s.memory.keepBelow(digest.FromBytes(raw), digestsOf(entries))
	return nil
}

// missingOf returns the entries of a list that the destination lacks or does not list.
func (s *search) missingOf(ctx context.Context, l *list) ([]*Referrer, *Error) {
	have, same, err := s.listed(ctx, l)
	if err != nil {
		return nil, notKnown(l.subject, s.to.Failed(err))
	}
	if same {
		return nil, nil
	}
	if err := s.load(ctx, l); err != nil {
		return nil, &Error{What: "list of referrers of " + l.subject.String(), Found: true, Err: s.image.Failed(err)}
	}
	var missing []*Referrer
	for _, d := range l.entries {
		if !has(have, d.Digest) {
			missing = append(missing, &Referrer{Descriptor: d, subject: l.subject, list: l})
		}
	}
	return missing, nil
}

// listed returns the entries of a list that the destination has. same: it has all of them, which
// is known without reading the source's list.
func (s *search) listed(ctx context.Context, l *list) (have []content.Descriptor, same bool, err error) {
	below, known := s.memory.below(l.descriptor.Digest)
	switch {
	case s.to.Lacks:
		return nil, false, nil
	case known && len(below) == 0: // clients that remove referrers leave empty lists behind
		return nil, true, nil
	}
	answer, err := s.answers.api(ctx, s.to.Target, l.subject)
	if err != nil {
		return nil, false, err
	}
	if answer.served {
		same = known && !slices.ContainsFunc(below, func(d digest.Digest) bool { return !has(answer.listed, d) })
		return answer.listed, same, nil
	}
	there, err := s.answers.tagAt(ctx, s.to.Target, content.FallbackTag(l.subject))
	if err != nil {
		return nil, false, err
	}
	merged, _ := s.memory.selected(l.descriptor.Digest, mergedKey(s.to.Target.Location()))
	if there.Digest != "" && (there.Digest == l.descriptor.Digest || there.Digest == merged.Digest) {
		return nil, true, nil
	}
	if have, err = readList(ctx, s.manifests.Reader(s.to.Target), there); err != nil {
		return nil, false, err
	}
	for _, d := range have { // an entry may be listed that is not there
		if _, err = s.to.Target.Resolve(ctx, d.Digest.String()); refused(err) {
			have = slices.DeleteFunc(slices.Clone(have), func(h content.Descriptor) bool { return h.Digest == d.Digest })
		} else if err != nil {
			return nil, false, err
		}
	}
	return have, false, nil
}
