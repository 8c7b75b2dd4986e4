package referrers

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// list is a subject's list of referrers at the source, without the types that are not copied.
type list struct {
	subject digest.Digest
	// origin is the list under the source's tag; zero if the API returned it.
	origin  content.Descriptor
	invalid *content.InvalidNamesError // entries of the API; nil if all are valid
	budget  *content.Budget            // of the image

	loaded  bool // entries and raw are set
	entries []content.Descriptor
	raw     []byte // of origin, if all of its entries are copied
}

// isList reports whether a fallback tag names a list of referrers, which is an index.
func isList(d content.Descriptor) bool { return d.MediaType == ocispec.MediaTypeImageIndex }

func (p Policy) taken(entries []content.Descriptor) []content.Descriptor {
	return slices.DeleteFunc(slices.Clone(entries), func(d content.Descriptor) bool { return !p.takes(d.ArtifactType) })
}

// key is the key by which the digests on a list are remembered: the list's digest, or one that is made
// from it and the types if only some types are copied.
func (s *search) key(l *list) digest.Digest {
	if len(s.policy.Types) == 0 {
		return l.origin.Digest
	}
	types := slices.Compact(slices.Sorted(slices.Values(s.policy.Types)))
	return digest.FromString(l.origin.Digest.String() + " " + strings.Join(types, " "))
}

func (s *search) load(ctx context.Context, l *list) error {
	if l.loaded {
		return nil
	}
	m, err := s.budget.Fetch(ctx, s.named(s.image.Source, content.FallbackTag(l.subject)), l.origin)
	if err != nil {
		return err
	}
	if len(m.Manifests) > maxReferrers {
		return tooMany()
	}
	l.loaded, l.entries = true, s.policy.taken(m.Manifests)
	if len(l.entries) == len(m.Manifests) {
		l.raw = m.Raw
	}
	s.Children.KeepChildren(s.key(l), digestsOf(l.entries))
	return nil
}

// compare records the entries of a list in a, and as missing those that the destination lacks or does not
// list. If the digests on the list are known and the destination has all of them, the list is not read.
func (s *search) compare(ctx context.Context, l *list, a *attached) {
	a.invalid = l.invalid
	var have []digest.Digest
	if !s.to.Lacks {
		at, there, err := s.listed(ctx, l)
		if err != nil {
			a.failures = append(a.failures, unknown(l.subject, s.to.Failed(err)))
			return
		}
		if have = there; !l.loaded {
			wanted, known := s.verified(s.key(l))
			if at == s.key(l) {
				wanted, known = have, true
			}
			if known && isSubset(wanted, have) {
				a.below = wanted
				return
			}
		}
	}
	if err := s.load(ctx, l); err != nil {
		a.failures = append(a.failures, l.failed(s.image.Failed(err)))
		return
	}
	for _, d := range l.entries {
		r := &Referrer{Descriptor: d, subject: l.subject, list: l}
		a.all = append(a.all, r)
		if slices.Contains(have, d.Digest) {
			s.refusals.accepted(s.to.Target.Location(), r)
		} else {
			s.miss(a, r)
		}
	}
}

// listed returns the referrers that the subject of a list has at the destination. at is the digest of the
// destination's list, if it is kept under a tag.
func (s *search) listed(ctx context.Context, l *list) (at digest.Digest, have []digest.Digest, err error) {
	answer, err := s.api(ctx, s.to.Target, l.subject, s.budget)
	if err != nil || answer.served {
		return "", digestsOf(answer.listed), err
	}
	there, err := s.tagAt(ctx, s.to.Target, content.FallbackTag(l.subject), false)
	if err != nil || !isList(there) {
		return "", nil, err
	}
	if have, known := s.verified(there.Digest); known {
		return there.Digest, have, nil
	}
	m, err := s.budget.Fetch(ctx, s.named(s.to.Target, content.FallbackTag(l.subject)), there)
	if err != nil {
		return "", nil, err
	}
	if len(m.Manifests) > maxReferrers {
		return "", nil, tooMany()
	}
	for _, d := range m.Manifests {
		if s.policy.Thorough || there.Digest != l.origin.Digest { // the list may name manifests that the destination no longer has
			_, err = s.to.Target.Resolve(ctx, d.Digest.String())
		}
		if err == nil {
			have = append(have, d.Digest)
		} else if !errors.Is(err, content.ErrNotFound) {
			return "", nil, err
		}
	}
	if len(have) < len(m.Manifests) {
		return "", have, nil
	}
	s.Children.KeepChildren(there.Digest, have)
	return there.Digest, have, nil
}

// verified returns the remembered entries of a list, unless everything is to be checked again.
func (s *search) verified(list digest.Digest) (entries []digest.Digest, known bool) {
	if s.policy.Thorough {
		return nil, false
	}
	return s.Children.Children(list)
}

func digestsOf(descriptors []content.Descriptor) []digest.Digest {
	digests := make([]digest.Digest, 0, len(descriptors))
	for _, d := range descriptors {
		digests = append(digests, d.Digest)
	}
	return digests
}

func isSubset(some, others []digest.Digest) bool {
	return !slices.ContainsFunc(some, func(d digest.Digest) bool { return !slices.Contains(others, d) })
}
