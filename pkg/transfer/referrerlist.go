package transfer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// referrerList is a subject's list of referrers, as a destination without the referrers API
// is to have it. Its digest is known before its bytes are.
type referrerList struct {
	subject    digest.Digest
	descriptor content.Descriptor
	// origin is what the source keeps under a tag; zero where its API was asked.
	origin content.Descriptor

	mu      sync.Mutex // guards what follows until it is loaded
	loaded  bool
	entries []content.Descriptor
	raw     []byte
}

// referrerListVersion is part of what is remembered of lists: another way to write them
// gets another number.
const referrerListVersion = "1"

// newReferrerList writes a list. Equal entries give equal bytes, in whatever order they
// come.
func newReferrerList(subject digest.Digest, entries []content.Descriptor) (*referrerList, error) {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: make([]content.Descriptor, 0, len(entries)),
	}
	for _, d := range entries {
		index.Manifests = append(index.Manifests, content.Descriptor{
			MediaType: d.MediaType, Digest: d.Digest, Size: d.Size,
			ArtifactType: d.ArtifactType, Annotations: d.Annotations,
		})
	}
	slices.SortFunc(index.Manifests, func(a, b content.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	raw, err := json.Marshal(index)
	return &referrerList{
		subject: subject, descriptor: content.NewDescriptor(ocispec.MediaTypeImageIndex, raw),
		loaded: true, entries: index.Manifests, raw: raw,
	}, err
}

// has reports whether a digest is among descriptors.
func has(descriptors []content.Descriptor, d digest.Digest) bool {
	return slices.ContainsFunc(descriptors, func(have content.Descriptor) bool { return have.Digest == d })
}

// typeOfSuffix is the artifact type that stands for cosign's tags of a suffix: the one that
// cosign gives to the same thing as a referrer.
func typeOfSuffix(suffix string) string {
	return "application/vnd.dev.cosign.artifact" + suffix + ".v1+json"
}

// takesType reports whether attachments of an artifact type go along.
func (j Job) takesType(artifactType string) bool {
	return len(j.ReferrerTypes) == 0 || slices.Contains(j.ReferrerTypes, artifactType)
}

// takenTypes are the entries that go along.
func (j Job) takenTypes(entries []content.Descriptor) []content.Descriptor {
	return slices.DeleteFunc(slices.Clone(entries), func(d content.Descriptor) bool { return !j.takesType(d.ArtifactType) })
}

// listed is the list that the source keeps under a tag, or nil. Where only some types go
// along it is a list of its own: which one is remembered, else the source's is read.
func (p *planner) listed(ctx context.Context, subject digest.Digest) (*referrerList, error) {
	d, err := p.engine.tagAt(ctx, p.plan.source, content.FallbackTag(subject))
	if err != nil || d.MediaType != ocispec.MediaTypeImageIndex {
		return nil, err // what stands there and is no list is none
	}
	l := &referrerList{subject: subject, descriptor: d, origin: d}
	if len(p.plan.Job.ReferrerTypes) == 0 {
		return l, nil
	}
	if kept, known := p.engine.selectionOf(d.Digest, p.typesKey()); known {
		l.descriptor = kept
		return l, nil
	}
	if err := p.load(ctx, l); err != nil {
		return nil, err
	}
	l.descriptor = content.NewDescriptor(ocispec.MediaTypeImageIndex, l.raw)
	p.engine.keepSelection(d.Digest, p.typesKey(), l.descriptor, nil)
	return l, nil
}

// typesKey is what a selection of artifact types is remembered by.
func (p *planner) typesKey() string {
	types := slices.Clone(p.plan.Job.ReferrerTypes)
	slices.Sort(types)
	return "referrers/" + referrerListVersion + " of the types " + strings.Join(slices.Compact(types), " ")
}

// load reads the list at the source, where that was not done.
func (p *planner) load(ctx context.Context, l *referrerList) error {
	if l.isLoaded() {
		return nil
	}
	m, err := content.FetchAndParse(ctx, p.manifests, l.origin) // one request, whoever else loads it now
	if err != nil {
		return fmt.Errorf("list of referrers of %s: %w", l.subject, err)
	}
	if len(m.Manifests) > attachmentCount {
		return tooManyAttached()
	}
	entries, raw := m.Manifests, m.Raw
	if len(p.plan.Job.ReferrerTypes) > 0 {
		taken, err := newReferrerList(l.subject, p.plan.Job.takenTypes(entries))
		if err != nil {
			return err
		}
		entries, raw = taken.entries, taken.raw
	}
	l.fill(entries, raw)
	p.engine.keepBelow(digest.FromBytes(raw), digestsOf(entries))
	return nil
}

func (l *referrerList) isLoaded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

// fill sets what was loaded; what others may be reading already stays.
func (l *referrerList) fill(entries []content.Descriptor, raw []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded {
		l.loaded, l.entries, l.raw = true, entries, raw
	}
}

// readList reads what stands under the tag of a list. What is not there has no entries, and
// neither has what is no list.
func readList(ctx context.Context, from content.ManifestFetcher, d content.Descriptor) ([]content.Descriptor, error) {
	if d.MediaType != ocispec.MediaTypeImageIndex {
		return nil, nil
	}
	m, err := content.FetchAndParse(ctx, from, d)
	if err != nil {
		return nil, err
	}
	return m.Manifests, nil
}

// mergedKey is what the list at a place is remembered by, where it has entries of its own.
func mergedKey(at content.Location) string {
	return "referrers/" + referrerListVersion + " at " + at.String()
}
