package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// ErrNoPlatform: the source has none of the requested platforms, or lacks one that is required.
var ErrNoPlatform = errors.New("platform not found")

// selectPlatforms applies the selection of platforms and OmitAttestations, and sets Image. It reads no more
// of the source than that takes. omits: attestations are left out.
func (p *planning) selectPlatforms(ctx context.Context) (omits bool, err error) {
	omits = p.OmitAttestations
	if !content.IsIndex(p.Source.MediaType) && p.run.Selections == nil && !p.RequirePlatforms && p.There.Digest == p.Source.Digest {
		return omits, nil // up to date, whatever its platform is
	}
	if err := p.begin(ctx, p.Source); err != nil {
		return omits, err
	}
	source, err := content.FetchAndParse(ctx, p.From.Manifests, p.Source)
	if err != nil {
		return omits, err
	}
	if !source.IsIndex() {
		p.root = source
		if len(p.Platforms) == 0 {
			return omits, nil
		}
		return omits, p.requireOwn(ctx, source)
	}
	if len(p.Platforms) == 0 && !slices.ContainsFunc(source.Manifests, content.IsAttestation) {
		p.root = source
		return omits, nil
	}
	if cache, err := p.isCache(ctx, source); cache || err != nil {
		p.root = source
		return omits, err
	}
	keepChildren(p.run.Children, source.Descriptor.Digest, source.Manifests)
	children := slices.DeleteFunc(slices.Clone(source.Manifests), content.IsAttestation)
	if len(p.Platforms) > 0 {
		if children, err = p.matching(ctx, source); err != nil {
			return omits, err
		}
	}
	switch {
	case len(p.Platforms) == 1:
		p.Image = content.PreferPlatform(children)
	case len(children) == len(source.Manifests), len(children) == 0: // nothing to leave out, or no images
		p.root = source
	default:
		if p.root, err = p.form(ctx, source, children, omits); err != nil {
			return omits, err
		}
		if there := p.There.Digest; p.EitherForm && there != "" && there != p.root.Descriptor.Digest {
			other, err := p.form(ctx, source, children, !omits)
			if err != nil {
				return omits, err
			}
			if there == other.Descriptor.Digest {
				p.root, omits = other, !omits
			}
		}
		p.Image = p.root.Descriptor
		p.WithoutAttestations = omits && slices.ContainsFunc(source.Manifests, func(child content.Descriptor) bool {
			return content.IsAttestation(child) && slices.ContainsFunc(children, func(d content.Descriptor) bool { return d.Digest == content.AttestationOf(child) })
		})
		keepChildren(p.run.Children, p.root.Descriptor.Digest, p.root.Manifests)
	}
	return omits, nil
}

// form returns the index with the selected children, with or without the attestations of those.
func (p *planning) form(ctx context.Context, index *content.Manifest, children []content.Descriptor, omits bool) (*content.Manifest, error) {
	if len(p.Platforms) == 0 && !omits {
		return index, nil
	}
	keep := map[digest.Digest]bool{}
	for _, child := range children {
		keep[child.Digest] = true
	}
	for _, child := range index.Manifests {
		if !omits && content.IsAttestation(child) && keep[content.AttestationOf(child)] {
			keep[child.Digest] = true
		}
	}
	if p.attestationMissing && !omits {
		if err := p.dropMissing(ctx, index, keep); err != nil {
			return nil, err
		}
	}
	return subset(index, keep)
}

// selectionVersion is part of the key of a remembered selection. A change of how an index is rewritten,
// or of the warnings, needs a new number.
const selectionVersion = "2"

// selectionKey is the key by which the selected image is remembered. If all platforms are required, the key differs:
// a selection that was remembered without the requirement may lack one.
func (r Request) selectionKey(omits bool) string {
	names := make([]string, 0, len(r.Platforms))
	for _, platform := range r.Platforms {
		names = append(names, content.FormatPlatform(platform))
	}
	kind := "several of"
	if len(names) == 1 {
		kind = "one of"
	}
	if r.RequirePlatforms {
		kind = "all of"
	}
	if omits {
		kind = "without attestations, " + kind
	}
	return "platforms/" + selectionVersion + " " + kind + " " + strings.Join(names, " ")
}

// recallSelected takes from the memory what the destination gets, which costs no request. It trusts the
// memory only if the destination has that image already, so that nothing is copied because of it. omits: without attestations.
func (p *planning) recallSelected(omits bool) bool {
	memory := p.run.Selections
	if memory == nil || content.IsRereadable(p.From.Source) {
		return false
	}
	image, warnings, known := memory.Selected(p.Source.Digest, p.selectionKey(omits))
	if !known || content.CheckDescriptor(image) != nil || image.Digest != p.There.Digest {
		return false
	}
	p.Image = image
	p.Warnings = append(p.Warnings, warnings...)
	return true
}

// selectImage decides what the destination gets, and reads no more of the source than that takes.
func (p *planning) selectImage(ctx context.Context) error {
	p.Image, p.WithoutAttestations = p.Source, false
	if len(p.Platforms) == 0 && !p.OmitAttestations && !p.mayHaveOtherForm() ||
		p.EitherForm && len(p.Platforms) == 0 && p.There.Digest == p.Source.Digest ||
		p.recallSelected(p.OmitAttestations) || p.EitherForm && p.recallSelected(!p.OmitAttestations) {
		return nil
	}
	if len(p.Platforms) == 0 && !p.OmitAttestations && p.Stays && !p.From.Manifests.Has(p.Source) {
		return nil
	}
	before := len(p.Warnings)
	omits, err := p.selectPlatforms(ctx)
	if err != nil {
		return err
	}
	if p.run.Selections != nil && (len(p.Platforms) > 0 || omits) {
		p.run.Selections.KeepSelected(p.Source.Digest, p.selectionKey(omits), p.Image, slices.Clone(p.Warnings[before:]))
	}
	return nil
}

// mayHaveOtherForm reports whether what the destination has may be the source's index without its attestations.
func (p *planning) mayHaveOtherForm() bool {
	return p.EitherForm && p.There.Digest != "" && p.There.Digest != p.Source.Digest && content.IsIndex(p.Source.MediaType)
}

// isCache reports whether all children of an index are blobs, as in a BuildKit cache, which has no platforms.
func (p *planning) isCache(ctx context.Context, index *content.Manifest) (bool, error) {
	for _, child := range index.Manifests {
		if child.Platform != nil || content.IsManifest(child.MediaType) {
			return false, nil
		}
		if m, err := content.FetchChild(ctx, p.From.Manifests, child); m != nil || err != nil {
			return false, err
		}
	}
	return len(index.Layers)+len(index.Manifests) > 0, nil
}

// matching returns the children of an index that the requested platforms select.
func (p *planning) matching(ctx context.Context, index *content.Manifest) ([]content.Descriptor, error) {
	var children []content.Descriptor
	found := make([]bool, len(p.Platforms))
	var offered []string
	for _, child := range index.Manifests {
		if content.IsAttestation(child) {
			continue
		}
		platform, err := p.platformOf(ctx, child)
		if part, missing := missingPart(err); missing && part.Digest == child.Digest {
			p.warn(warning.Warning{Kind: warning.ChildMissing, Digest: child.Digest})
			continue
		}
		if err != nil {
			return nil, err
		}
		if platform == nil {
			p.warn(warning.Warning{Kind: warning.PlatformUnstated, Digest: child.Digest})
			continue
		}
		offered = append(offered, content.FormatPlatform(*platform))
		selected := false
		for i, want := range p.Platforms {
			if content.MatchPlatform(want, *platform) {
				found[i], selected = true, true
			}
		}
		if selected {
			children = append(children, child)
		}
	}
	var missing []string
	for i, want := range p.Platforms {
		if !found[i] {
			missing = append(missing, content.FormatPlatform(want))
		}
	}
	return children, p.judge(children, missing, offered)
}

// judge warns of missing platforms, or returns an [ErrNoPlatform] if they are required or none is left.
func (p *planning) judge(children []content.Descriptor, missing, offered []string) error {
	if len(missing) == 0 {
		return nil
	}
	if len(children) == 0 || p.RequirePlatforms {
		others := "only " + strings.Join(offered, ", ")
		if len(offered) == 0 {
			others = "no image states a platform"
		}
		return fmt.Errorf("%s not available (%s): %w", strings.Join(missing, ", "), others, ErrNoPlatform)
	}
	p.warn(warning.Warning{Kind: warning.PlatformsMissing, Missing: missing, Offered: offered})
	return nil
}

// requireOwn checks the platform of an image that is in no index.
func (p *planning) requireOwn(ctx context.Context, m *content.Manifest) error {
	platform, err := p.configPlatform(ctx, m)
	if err != nil || platform == nil {
		return err
	}
	var found []content.Descriptor
	var missing []string
	for _, want := range p.Platforms {
		if content.MatchPlatform(want, *platform) {
			found = []content.Descriptor{m.Descriptor}
		} else {
			missing = append(missing, content.FormatPlatform(want))
		}
	}
	return p.judge(found, missing, []string{content.FormatPlatform(*platform)})
}

// platformOf is the platform of an index's child: the index states it, or else the child's
// configuration does. It is nil for a child that is not an image.
func (p *planning) platformOf(ctx context.Context, child content.Descriptor) (*content.Platform, error) {
	if child.Platform != nil {
		return child.Platform, nil
	}
	if content.IsIndex(child.MediaType) {
		return nil, nil
	}
	m, err := content.FetchChild(ctx, p.From.Manifests, child)
	if m == nil {
		return nil, err
	}
	return p.configPlatform(ctx, m)
}

// configPlatform is the platform that an image's configuration states, or nil.
func (p *planning) configPlatform(ctx context.Context, m *content.Manifest) (*content.Platform, error) {
	if m.Config == nil {
		return nil, nil
	}
	raw, err := content.FetchImageConfig(ctx, p.From.Source, *m.Config)
	if raw == nil || err != nil {
		return nil, err
	}
	var platform content.Platform
	if err := json.Unmarshal(raw, &platform); err != nil {
		return nil, fmt.Errorf("config %s: %w: %w", m.Config.Digest, content.ErrInvalid, err)
	}
	if platform.OS == "" || platform.Architecture == "" {
		return nil, nil
	}
	return &platform, nil
}

// dropMissing removes from keep the attestations that the source does not have.
func (p *planning) dropMissing(ctx context.Context, index *content.Manifest, keep map[digest.Digest]bool) error {
	attestations := slices.DeleteFunc(slices.Clone(index.Manifests), func(child content.Descriptor) bool {
		return !keep[child.Digest] || !content.IsAttestation(child)
	})
	errs := make([]error, len(attestations))
	var reading errgroup.Group
	reading.SetLimit(8)
	for i, child := range attestations {
		reading.Go(func() error {
			_, errs[i] = content.FetchChild(ctx, p.From.Manifests, child)
			return nil
		})
	}
	_ = reading.Wait()
	for i, child := range attestations {
		if _, missing := missingPart(errs[i]); missing {
			p.warn(warning.Warning{Kind: warning.AttestationMissing, Digest: child.Digest, Of: content.AttestationOf(child)})
			delete(keep, child.Digest)
		} else if errs[i] != nil {
			return errs[i]
		}
	}
	return nil
}

// missingPart returns the part of an image that an error reports as not found.
func missingPart(err error) (part content.Descriptor, missing bool) {
	if of, ok := errors.AsType[*content.PartError](err); ok && errors.Is(err, content.ErrNotFound) {
		return of.Part, true
	}
	return content.Descriptor{}, false
}

// subset returns the index without the children that keep does not name. Everything else in it is kept, and equal input gives
// equal bytes, so that the same selection of an unchanged image always has the same digest.
func subset(index *content.Manifest, keep map[digest.Digest]bool) (*content.Manifest, error) {
	var document map[string]json.RawMessage
	if err := json.Unmarshal(index.Raw, &document); err != nil {
		return nil, fmt.Errorf("index %s: %w: %w", index.Descriptor.Digest, content.ErrInvalid, err)
	}
	var children []json.RawMessage
	if err := json.Unmarshal(document["manifests"], &children); err != nil {
		return nil, fmt.Errorf("index %s: %w: %w", index.Descriptor.Digest, content.ErrInvalid, err)
	}
	kept := make([]json.RawMessage, 0, len(keep))
	for _, raw := range children {
		var child content.Descriptor
		if err := json.Unmarshal(raw, &child); err != nil {
			return nil, fmt.Errorf("index %s: %w: %w", index.Descriptor.Digest, content.ErrInvalid, err)
		}
		if keep[child.Digest] {
			kept = append(kept, raw)
		}
	}
	if len(kept) == len(children) {
		return index, nil
	}
	var err error
	if document["manifests"], err = json.Marshal(kept); err != nil {
		return nil, err
	}
	mediaType := index.Descriptor.MediaType
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageIndex
	}
	if document["mediaType"], err = json.Marshal(mediaType); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return content.ParseManifest(content.NewDescriptor(mediaType, raw), raw)
}
