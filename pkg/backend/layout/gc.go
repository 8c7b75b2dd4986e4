package layout

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// GC removes the blobs that no listed image needs, the referrers of images that are gone,
// and partial uploads that nobody holds. It returns how many bytes that freed.
//
// While anybody writes to the layout, in this process or another, it does nothing and
// returns an [ErrInUse]; this process writes until its [Layout.Close]. Other tools take no
// part in that lock: do not run it while they write. It removes nothing where it cannot
// tell what an image refers to.
func (l *Layout) GC(ctx context.Context) (freed int64, err error) {
	lock, err := l.lock(writersLock, (*flock.Flock).TryLock)
	if err != nil {
		return 0, err
	}
	if lock == nil {
		return 0, fmt.Errorf("free unused blobs of %s: %w", l.path, ErrInUse)
	}
	defer unlock(lock)
	entries, err := l.Entries(ctx)
	invalid, failure := content.SplitInvalidNames(err)
	if failure != nil {
		return 0, failure
	}
	if invalid != nil { // nothing tells which blobs that entry needs
		return 0, fmt.Errorf("free unused blobs of %s: %w: %s lists %q", l.path, content.ErrInvalid, ocispec.ImageIndexFile, invalid.First[0])
	}
	m := &marking{layout: l, used: map[digest.Digest]bool{}, lists: map[string]bool{}}
	kept, err := m.markAll(ctx, entries)
	if err != nil {
		return 0, fmt.Errorf("free unused blobs of %s: %w", l.path, err)
	}
	if len(kept) < len(entries) {
		if err := l.keep(ctx, kept); err != nil {
			return 0, err
		}
	}
	freed = l.removePartials("", 0)
	blobs, err := l.removeUnused(ctx, m.used)
	return freed + blobs, err
}

// keep lists nothing but kept. No writer can have come between, but whoever opens the layout
// sweeps what is being written without index.lock.
func (l *Layout) keep(ctx context.Context, kept []content.Descriptor) error {
	lock, err := l.lockIndex(ctx)
	if err != nil {
		return err
	}
	defer unlock(lock)
	index, err := l.readIndex()
	if err != nil {
		return err
	}
	index.Manifests = kept
	return l.writeIndex(index)
}

// marking finds what images need.
type marking struct {
	layout *Layout
	used   map[digest.Digest]bool
	lists  map[string]bool // the tags of the lists of referrers of what is used
}

// markAll marks what is below the entries that are images, and below referrers whose
// subject is marked, and returns those entries.
func (m *marking) markAll(ctx context.Context, entries []content.Descriptor) (kept []content.Descriptor, err error) {
	keep := make([]bool, len(entries))
	for again := true; again; {
		again = false
		for i, entry := range entries {
			if keep[i] || !m.wanted(ctx, entry) {
				continue
			}
			keep[i], again = true, true
			if err := m.mark(ctx, entry, content.FetchAndParse); err != nil {
				return nil, err
			}
		}
	}
	for i, entry := range entries {
		if keep[i] {
			kept = append(kept, entry)
		}
	}
	return kept, nil
}

func (m *marking) wanted(ctx context.Context, entry content.Descriptor) bool {
	if tag := listTag(entry); tag != "" {
		return m.lists[tag]
	}
	if tagOf(entry) != "" {
		return true
	}
	n, err := m.layout.node(ctx, entry)
	return err != nil || n.subject == "" || m.used[n.subject]
}

// readManifest is [content.FetchAndParse], or [content.FetchChild], which returns nil for a blob.
type readManifest func(context.Context, content.ManifestFetcher, content.Descriptor) (*content.Manifest, error)

func (m *marking) mark(ctx context.Context, d content.Descriptor, read readManifest) error {
	if m.used[d.Digest] {
		return nil
	}
	m.used[d.Digest], m.lists[content.FallbackTag(d.Digest)] = true, true
	manifest, err := read(ctx, m.layout, d)
	if errors.Is(err, content.ErrNotFound) {
		return nil // an index of which others have stored a part
	}
	if err != nil || manifest == nil {
		return err
	}
	for _, blob := range manifest.Blobs() {
		m.used[blob.Digest] = true
	}
	for _, child := range manifest.Manifests {
		if err := m.mark(ctx, child, content.FetchChild); err != nil {
			return err
		}
	}
	return nil
}

// removeUnused removes the files that have a digest for a name and are not used.
func (l *Layout) removeUnused(ctx context.Context, used map[digest.Digest]bool) (freed int64, err error) {
	algorithms, err := os.ReadDir(l.file(ocispec.ImageBlobsDir))
	if err != nil {
		return 0, err
	}
	for _, algorithm := range algorithms {
		if algorithm.Type().IsRegular() {
			continue
		}
		files, err := os.ReadDir(l.file(ocispec.ImageBlobsDir, algorithm.Name()))
		if err != nil {
			return freed, err
		}
		for _, file := range files {
			d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm.Name()), file.Name())
			info, err := file.Info()
			if err != nil || used[d] || d.Validate() != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := ctx.Err(); err != nil {
				return freed, err
			}
			path, err := l.blobFile(d)
			if err != nil {
				return freed, err
			}
			if err := l.disk.Remove(path); err != nil {
				return freed, diskError(path, 0, err)
			}
			freed += info.Size()
		}
	}
	return freed, nil
}
