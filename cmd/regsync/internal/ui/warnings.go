package ui

import (
	"fmt"
	"strings"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// warnings collects the warnings about images, so that equal ones are one line.
type warnings struct {
	paint paint
	told  bool // by the caller
	list  []*warningGroup
	index map[string]*warningGroup
}

// warningGroup is the images that have one warning in common.
type warningGroup struct {
	warning string
	offered string // the platforms that the images have, if others are missing
	images  []string
}

// observe returns the lines of a warning that concerns the whole run. One about an image waits for others like it.
func (w *warnings) observe(e transfer.Warned) []string {
	if e.Source.IsZero() {
		return []string{w.line(WarningText(e.Warning))}
	}
	if !w.told {
		w.add(safe.Clean(e.Source.Familiar()), e.Warning, WarningText(e.Warning), false)
	}
	return nil
}

func (w *warnings) line(text string) string { return w.paint.yellow("warning") + ": " + text }

// add adds a warning about an image, with its text, to the group of those like it unless it is to stand apart.
func (w *warnings) add(image string, data warning.Warning, text string, apart bool) {
	g := &warningGroup{warning: text}
	if data.Kind == warning.PlatformsMissing {
		g.offered = safe.Clean(strings.Join(data.Offered, ", "))
	}
	key := g.offered
	if key == "" {
		key = text
	}
	known := w.index[key]
	if known == nil || apart {
		if w.index == nil {
			w.index = map[string]*warningGroup{}
		}
		known = g
		w.index[key] = g
		w.list = append(w.list, g)
	}
	known.images = append(known.images, image)
}

// lines returns the lines of all groups.
func (w *warnings) lines() (lines []string) {
	for _, g := range w.list {
		lines = append(lines, w.line(g.text()))
	}
	return lines
}

// text is "nginx:1: linux/arm64 not available (only linux/amd64)" of one image, and "14 tags have only linux/amd64: nginx:1,
// nginx:2, nginx:3 … and 11 more" of several.
func (g *warningGroup) text() string {
	switch {
	case len(g.images) == 1:
		return g.images[0] + ": " + g.warning
	case g.offered != "":
		return fmt.Sprintf("%d tags have only %s: %s", len(g.images), g.offered, firstNames(g.images, len(g.images), ""))
	default:
		return g.warning + ": " + firstNames(g.images, len(g.images), "")
	}
}
