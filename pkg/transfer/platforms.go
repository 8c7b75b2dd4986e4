package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// BuildKit lists attestations in an index as children of the platform unknown/unknown,
// tied to the image they are about by these annotations
// (BuildKit documentation, "Image attestation storage").
const (
	annotationReferenceType   = "vnd.docker.reference.type"
	annotationReferenceDigest = "vnd.docker.reference.digest"
	attestationManifest       = "attestation-manifest"
)

// selectPlatforms reads the source as far as it takes to choose the job's platforms, and
// sets Plan.Image.
func (p *planner) selectPlatforms(ctx context.Context) (root *content.Manifest, err error) {
	if !content.IsIndex(p.plan.Source.MediaType) && p.engine.options.Selections == nil &&
		!p.plan.Job.RequirePlatforms && p.everywhere(p.plan.Source.Digest) {
		return nil, nil // whatever its platform is, it is where it belongs
	}
	source, err := content.FetchAndParse(ctx, p.manifests, p.plan.Source)
	if err != nil {
		return nil, err
	}
	if !source.IsIndex() {
		return source, p.requireOwn(ctx, source)
	}
	p.engine.keepChildren(source.Descriptor.Digest, source.Manifests)
	children, err := p.matching(ctx, source)
	if err != nil {
		return nil, err
	}
	if len(p.plan.Job.Platforms) == 1 {
		p.plan.Image = preferred(children)
		return nil, nil
	}
	if len(children) == len(source.Manifests) {
		return source, nil
	}
	if root, err = subset(source, withAttestations(source, children)); err != nil {
		return nil, err
	}
	p.plan.Image = root.Descriptor
	p.engine.keepChildren(root.Descriptor.Digest, root.Manifests)
	return root, nil
}

// matching finds the children of an index that the job's platforms select.
func (p *planner) matching(ctx context.Context, index *content.Manifest) ([]content.Descriptor, error) {
	var children []content.Descriptor
	found := make([]bool, len(p.plan.Job.Platforms))
	var offered []string
	for _, child := range index.Manifests {
		if isAttestation(child) {
			continue
		}
		platform, err := p.platformOf(ctx, child)
		if err != nil {
			return nil, err
		}
		if platform == nil {
			p.warn("%s in the index states no platform: left out", child.Digest)
			continue
		}
		offered = append(offered, content.FormatPlatform(*platform))
		selected := false
		for i, want := range p.plan.Job.Platforms {
			if content.MatchPlatform(want, *platform) {
				found[i], selected = true, true
			}
		}
		if selected {
			children = append(children, child)
		}
	}
	var missing []string
	for i, want := range p.plan.Job.Platforms {
		if !found[i] {
			missing = append(missing, content.FormatPlatform(want))
		}
	}
	return children, p.judge(children, missing, offered)
}

// judge says what it means that platforms are missing.
func (p *planner) judge(children []content.Descriptor, missing, offered []string) error {
	if len(missing) == 0 {
		return nil
	}
	text := fmt.Sprintf("no %s; there is %s", strings.Join(missing, ", "), strings.Join(offered, ", "))
	if len(offered) == 0 {
		text = fmt.Sprintf("no %s, and no other platform", strings.Join(missing, ", "))
	}
	if len(children) == 0 || p.plan.Job.RequirePlatforms {
		return fmt.Errorf("%s: %w", text, ErrNoPlatform)
	}
	p.warn("%s", text)
	return nil
}

// requireOwn checks the platform of an image that is in no index.
func (p *planner) requireOwn(ctx context.Context, m *content.Manifest) error {
	platform, err := p.configPlatform(ctx, m)
	if err != nil || platform == nil {
		return err
	}
	var found []content.Descriptor
	var missing []string
	for _, want := range p.plan.Job.Platforms {
		if content.MatchPlatform(want, *platform) {
			found = []content.Descriptor{m.Descriptor}
		} else {
			missing = append(missing, content.FormatPlatform(want))
		}
	}
	return p.judge(found, missing, []string{content.FormatPlatform(*platform)})
}

// platformOf is the platform of an index's child: the index states it, or else the child's
// configuration does. It is nil for what is no image.
func (p *planner) platformOf(ctx context.Context, child content.Descriptor) (*content.Platform, error) {
	if child.Platform != nil {
		return child.Platform, nil
	}
	if content.IsIndex(child.MediaType) {
		return nil, nil
	}
	m, err := content.FetchAndParse(ctx, p.manifests, child)
	if err != nil {
		return nil, err
	}
	return p.configPlatform(ctx, m)
}

// configPlatform is the platform that an image's configuration states, or nil.
func (p *planner) configPlatform(ctx context.Context, m *content.Manifest) (*content.Platform, error) {
	if m.Config == nil {
		return nil, nil
	}
	raw, err := content.FetchImageConfig(ctx, p.plan.source, *m.Config)
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

func isAttestation(child content.Descriptor) bool {
	return child.Annotations[annotationReferenceType] == attestationManifest
}

// preferred is the best of the children that match one platform: the plain one, or the most capable of
// several variants, as Docker takes linux/arm/v7 for linux/arm.
func preferred(children []content.Descriptor) content.Descriptor {
	best := children[0]
	for _, child := range children[1:] {
		if variant(best) != "" && (variant(child) == "" || variant(child) > variant(best)) {
			best = child
		}
	}
	return best
}

func variant(d content.Descriptor) string {
	if d.Platform == nil {
		return ""
	}
	return d.Platform.Variant
}

// withAttestations adds the attestations of the children.
func withAttestations(index *content.Manifest, children []content.Descriptor) map[digest.Digest]bool {
	keep := map[digest.Digest]bool{}
	for _, child := range children {
		keep[child.Digest] = true
	}
	for _, child := range index.Manifests {
		if about := digest.Digest(child.Annotations[annotationReferenceDigest]); isAttestation(child) && keep[about] {
			keep[child.Digest] = true
		}
	}
	return keep
}

// subset is the index without the children that keep does not name. Everything else in it
// stays, and equal input gives equal bytes, so that the same selection of an unchanged
// image has an unchanged digest.
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
	for i, child := range index.Manifests {
		if keep[child.Digest] {
			kept = append(kept, children[i])
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
