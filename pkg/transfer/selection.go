package transfer

import (
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// selectionVersion is part of what is remembered of selections: another way to rewrite an
// index gets another number.
const selectionVersion = "1"

func (e *Engine) keepSelection(source digest.Digest, selection string, image content.Descriptor, warnings []string) {
	if e.options.Selections != nil {
		e.options.Selections.KeepSelected(source, selection, image, warnings)
	}
}

// platformsKey is what the job's selection of platforms is remembered by. Where all are
// required, nothing is remembered of an image that lacks one, and nothing believed that was
// remembered without the requirement.
func (j Job) platformsKey() string {
	names := make([]string, 0, len(j.Platforms))
	for _, platform := range j.Platforms {
		names = append(names, content.FormatPlatform(platform))
	}
	kind := "several of"
	if len(names) == 1 {
		kind = "one of"
	}
	if j.RequirePlatforms {
		kind = "all of"
	}
	return "platforms/" + selectionVersion + " " + kind + " " + strings.Join(names, " ")
}

// recallSelected decides by memory what the destinations get, which costs no request. It is
// believed only where every destination has that image already: nothing is built on it.
func (p *planner) recallSelected() bool {
	memory := p.engine.options.Selections
	if memory == nil || rereadable(p.plan.source) {
		return false
	}
	image, warnings, known := memory.Selected(p.plan.Source.Digest, p.plan.Job.platformsKey())
	if !known || content.CheckDescriptor(image) != nil || !p.everywhere(image.Digest) {
		return false
	}
	p.plan.Image = image
	p.plan.Warnings = append(p.plan.Warnings, warnings...)
	return true
}

// derived reports whether the image is not the source's own, but was taken from it.
func (p *planner) derived() bool { return p.plan.Image.Digest != p.plan.Source.Digest }

// selected decides what the destinations get and sets Plan.Image. It reads no more of the
// source than that takes: root is nil where the image was not read.
func (p *planner) selected(ctx context.Context) (root *content.Manifest, err error) {
	p.plan.Image = p.plan.Source
	if len(p.plan.Job.Platforms) == 0 || p.recallSelected() {
		return nil, nil
	}
	told := len(p.plan.Warnings)
	if root, err = p.selectPlatforms(ctx); err != nil {
		return nil, err
	}
	p.engine.keepSelection(p.plan.Source.Digest, p.plan.Job.platformsKey(), p.plan.Image, slices.Clone(p.plan.Warnings[told:]))
	return root, nil
}

// everywhere reports whether every destination has a digest already.
func (p *planner) everywhere(d digest.Digest) bool {
	return !slices.ContainsFunc(p.plan.Destinations, func(at DestinationPlan) bool {
		return at.Err == nil && at.Previous != d
	})
}
