package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// maxIndexSize bounds index.json, in bytes: some 200,000 images.
const maxIndexSize = 64 << 20

// Names in privateDir that index.json and oci-layout are written under.
const (
	newIndexFile  = ocispec.ImageIndexFile + ".new"
	newLayoutFile = ocispec.ImageLayoutFile + ".new"
)

// index is what index.json holds.
type index struct {
	ocispec.Index // Manifests holds the valid entries only
	// invalid are the entries that [content.CheckDescriptor] refuses. They stay in the file
	// until their name is given to another image.
	invalid []content.Descriptor
}

// indexCache is index.json as it was parsed last.
type indexCache struct {
	mu    sync.Mutex
	file  fs.FileInfo
	index index
	// written is what this process wrote last. A file with other content is from another process.
	written digest.Digest
}

func (c *indexCache) wrote(d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = d
}

// Entries are the images that index.json lists, tagged or not, in its order, read afresh
// where the file has changed. With a [content.InvalidNamesError] the entries are all that
// have a valid digest and size.
func (l *Layout) Entries(ctx context.Context) ([]content.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	index, err := l.readIndex()
	if err != nil {
		return nil, err
	}
	invalid := content.InvalidNamesError{Kind: "name"}
	for _, entry := range index.invalid {
		invalid.Add(tagOf(entry) + "@" + entry.Digest.String())
	}
	return cloneEntries(index.Manifests), invalid.Err()
}

// Update replaces the list of images in index.json by what change makes of it. No other
// writer comes between, in any process. Blobs are not touched. Change may be given nil,
// owns the slice it is given, and must not call the layout's other methods that write.
func (l *Layout) Update(ctx context.Context, change func([]content.Descriptor) ([]content.Descriptor, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.locked(ctx, func() error { return l.change(ctx, change) }); err != nil {
		return fmt.Errorf("update the images of %s: %w", l.path, err)
	}
	return nil
}

// change is Update for a caller that holds index.lock.
func (l *Layout) change(ctx context.Context, change func([]content.Descriptor) ([]content.Descriptor, error)) error {
	index, err := l.readIndex()
	if err != nil {
		return err
	}
	before := index.Manifests
	changed, err := change(cloneEntries(before))
	if err != nil || sameEntries(before, changed) {
		return err
	}
	index.Manifests = changed
	names := map[string]bool{}
	for _, entry := range changed {
		names[tagOf(entry)] = true
	}
	index.invalid = filter(index.invalid, func(e content.Descriptor) bool { return tagOf(e) == "" || !names[tagOf(e)] })
	if err := l.writeIndex(index); err != nil {
		return err
	}
	l.removeReplaced(context.WithoutCancel(ctx), before, changed)
	return nil
}

func newIndex() index {
	return index{Index: ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
	}}
}

// readIndex reads index.json. The caller must not change what it returns.
func (l *Layout) readIndex() (index, error) {
	l.cached.mu.Lock()
	defer l.cached.mu.Unlock()
	path := l.file(ocispec.ImageIndexFile)
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return index{}, &NoLayoutError{l.path, "it has no file " + ocispec.ImageIndexFile}
	}
	if err != nil {
		return index{}, err
	}
	if then := l.cached.file; then != nil && os.SameFile(then, now) && then.Size() == now.Size() && then.ModTime().Equal(now.ModTime()) {
		return l.cached.index, nil
	}
	raw, err := readBounded(path, maxIndexSize)
	if err != nil {
		return index{}, err
	}
	parsed, err := parseIndex(raw)
	if err != nil {
		return index{}, fmt.Errorf("%s: %w", path, err)
	}
	l.cached.file, l.cached.index = now, parsed
	if digest.FromBytes(raw) != l.cached.written {
		l.lists.forget()
	}
	return parsed, nil
}

// parseIndex separates the entries whose digest must not become a path.
func parseIndex(raw []byte) (index, error) {
	var parsed index
	if err := json.Unmarshal(raw, &parsed.Index); err != nil {
		return index{}, fmt.Errorf("%w: %w", content.ErrInvalid, err)
	}
	if parsed.SchemaVersion != 2 {
		return index{}, fmt.Errorf("schema version %d, want 2: %w", parsed.SchemaVersion, content.ErrInvalid)
	}
	listed := parsed.Manifests
	parsed.Manifests = nil
	for _, entry := range listed {
		if content.CheckDescriptor(entry) == nil {
			parsed.Manifests = append(parsed.Manifests, entry)
		} else {
			parsed.invalid = append(parsed.invalid, entry)
		}
	}
	return parsed, nil
}

// writeIndex replaces index.json. The caller holds index.lock.
func (l *Layout) writeIndex(index index) error {
	file := index.Index
	file.Manifests = append([]content.Descriptor{}, index.Manifests...) // not nil: null is no list
	file.Manifests = append(file.Manifests, index.invalid...)
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	l.cached.wrote(digest.FromBytes(raw))
	return l.replace(ocispec.ImageIndexFile, raw)
}

// replace writes a file of the layout's top directory as a whole. The caller holds
// index.lock, so that one name is enough for what is being written.
func (l *Layout) replace(name string, raw []byte) error {
	fresh := l.file(privateDir, name+".new")
	if err := l.disk.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(fresh, 0, err)
	}
	file, err := l.disk.Create(fresh)
	if err != nil {
		return diskError(fresh, int64(len(raw)), err)
	}
	_, err = file.Write(raw)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = l.disk.Remove(fresh)
		return diskError(fresh, int64(len(raw)), err)
	}
	if err := l.disk.Rename(fresh, l.file(name)); err != nil {
		return diskError(l.file(name), 0, err)
	}
	return diskError(l.path, 0, l.disk.SyncDir(l.path))
}

func cloneEntries(entries []content.Descriptor) []content.Descriptor {
	entries = slices.Clone(entries)
	for i, entry := range entries {
		entries[i].Annotations = maps.Clone(entry.Annotations)
	}
	return entries
}

func sameEntries(a, b []content.Descriptor) bool {
	return slices.EqualFunc(a, b, func(a, b content.Descriptor) bool { return reflect.DeepEqual(a, b) })
}
