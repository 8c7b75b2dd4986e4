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

// collector removes files that no image needs. It holds writers.lock exclusively.
type collector struct {
	*Layout
	used  map[digest.Digest]bool
	lists map[string]bool // the tags of the lists of referrers of used manifests
}

func (c *collector) run(ctx context.Context) (freed int64, err error) {
	index, err := c.index.read()
	if err != nil {
		return 0, err
	}
	if len(index.invalid) > 0 { // the blobs of that entry are unknown
		entry := index.invalid[0]
		return 0, fmt.Errorf("%w: %s has the invalid entry %q", content.ErrInvalid, ocispec.ImageIndexFile, tagOf(entry)+"@"+entry.Digest.String())
	}
	kept, err := c.markAll(ctx, index.Manifests)
	if err != nil {
		return 0, err
	}
	if len(kept) < len(index.Manifests) {
		// No other process can have changed index.json, but a process that opens the layout removes files that are written
		// without index.lock.
		lock, err := c.lock(ctx, indexLock, (*flock.Flock).TryLockContext)
		if err != nil {
			return 0, err
		}
		index.Manifests = kept
		err = c.index.write(index)
		unlock(lock)
		if err != nil {
			return 0, err
		}
	}
	freed = c.removePartials("", 0)
	blobs, err := c.removeUnused(ctx)
	return freed + blobs, err
}

// markAll marks everything below the entries that are images, and below referrers whose subject is
// marked, and returns these entries.
func (c *collector) markAll(ctx context.Context, entries []content.Descriptor) (kept []content.Descriptor, err error) {
	keep := make([]bool, len(entries))
	for again := true; again; {
		again = false
		for i, entry := range entries {
			if keep[i] || !c.wanted(ctx, entry) {
				continue
			}
			keep[i], again = true, true
			if err := c.mark(ctx, entry, content.FetchAndParse); err != nil {
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

func (c *collector) wanted(ctx context.Context, entry content.Descriptor) bool {
	if tag := listTag(entry); tag != "" {
		return c.lists[tag]
	}
	if tagOf(entry) != "" {
		return true
	}
	n, err := c.graph.node(ctx, entry)
	return err != nil || n.subject == "" || c.used[n.subject]
}

// readManifest is [content.FetchAndParse], or [content.FetchChild], which returns nil for a blob.
type readManifest func(context.Context, content.ManifestFetcher, content.Descriptor) (*content.Manifest, error)

func (c *collector) mark(ctx context.Context, d content.Descriptor, read readManifest) error {
	if c.used[d.Digest] {
		return nil
	}
	c.used[d.Digest], c.lists[content.FallbackTag(d.Digest)] = true, true
	manifest, err := read(ctx, c.Layout, d)
	if errors.Is(err, content.ErrNotFound) {
		return nil // an index of which another tool has stored only a part
	}
	if err != nil || manifest == nil {
		return err
	}
	for _, blob := range manifest.Blobs() {
		c.used[blob.Digest] = true
	}
	for _, child := range manifest.Manifests {
		if err := c.mark(ctx, child, content.FetchChild); err != nil {
			return err
		}
	}
	return nil
}

// removeUnused removes unused files whose name is a digest.
func (c *collector) removeUnused(ctx context.Context) (freed int64, err error) {
	algorithms, err := os.ReadDir(c.file(ocispec.ImageBlobsDir))
	if err != nil {
		return 0, err
	}
	for _, algorithm := range algorithms {
		if algorithm.Type().IsRegular() {
			continue
		}
		files, err := os.ReadDir(c.file(ocispec.ImageBlobsDir, algorithm.Name()))
		if err != nil {
			return freed, err
		}
		for _, file := range files {
			d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm.Name()), file.Name())
			info, err := file.Info()
			if err != nil || c.used[d] || d.Validate() != nil || !info.Mode().IsRegular() {
				continue
			}
			if err := ctx.Err(); err != nil {
				return freed, err
			}
			path, err := c.blobFile(d)
			if err != nil {
				return freed, err
			}
			if err := c.disk.Remove(path); err != nil {
				return freed, diskError(path, 0, err)
			}
			freed += info.Size()
		}
	}
	return freed, nil
}
