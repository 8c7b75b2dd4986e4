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

// indexCache is index.json as it was parsed last.
type indexCache struct {
	mu    sync.Mutex
	file  fs.FileInfo
	index ocispec.Index
}

// Entries are the images that index.json lists, tagged or not, in its order, read afresh
// where the file has changed.
func (l *Layout) Entries(ctx context.Context) ([]content.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	index, err := l.readIndex()
	if err != nil {
		return nil, err
	}
	return cloneEntries(index.Manifests), nil
}

// Update replaces the list of images in index.json by what change makes of it. No other
// writer comes between, in any process. Blobs are not touched. Change may be given nil,
// owns the slice it is given, and must not call the layout's other methods that write.
func (l *Layout) Update(ctx context.Context, change func([]content.Descriptor) ([]content.Descriptor, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := l.locked(ctx, func() error {
		index, err := l.readIndex()
		if err != nil {
			return err
		}
		changed, err := change(cloneEntries(index.Manifests))
		if err != nil || sameEntries(index.Manifests, changed) {
			return err
		}
		index.Manifests = changed
		return l.writeIndex(index)
	})
	if err != nil {
		return fmt.Errorf("update the images of %s: %w", l.path, err)
	}
	return nil
}

func newIndex() ocispec.Index {
	return ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []content.Descriptor{},
	}
}

// readIndex reads index.json. The caller must not change what it returns.
func (l *Layout) readIndex() (ocispec.Index, error) {
	l.cached.mu.Lock()
	defer l.cached.mu.Unlock()
	path := l.file(ocispec.ImageIndexFile)
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ocispec.Index{}, &NoLayoutError{l.path, "it has no file " + ocispec.ImageIndexFile}
	}
	if err != nil {
		return ocispec.Index{}, err
	}
	if then := l.cached.file; then != nil && os.SameFile(then, now) && then.Size() == now.Size() && then.ModTime().Equal(now.ModTime()) {
		return l.cached.index, nil
	}
	raw, err := readBounded(path, maxIndexSize)
	if err != nil {
		return ocispec.Index{}, err
	}
	index, err := parseIndex(raw)
	if err != nil {
		return ocispec.Index{}, fmt.Errorf("%s: %w", path, err)
	}
	l.cached.file, l.cached.index = now, index
	return index, nil
}

// parseIndex refuses an index.json with a digest that must not become a path.
func parseIndex(raw []byte) (ocispec.Index, error) {
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return index, fmt.Errorf("%w: %w", content.ErrInvalid, err)
	}
	if index.SchemaVersion != 2 {
		return index, fmt.Errorf("schema version %d, want 2: %w", index.SchemaVersion, content.ErrInvalid)
	}
	for _, entry := range index.Manifests {
		if err := content.CheckDescriptor(entry); err != nil {
			return index, err
		}
	}
	return index, nil
}

// writeIndex replaces index.json. The caller holds index.lock.
func (l *Layout) writeIndex(index ocispec.Index) error {
	if index.Manifests == nil {
		index.Manifests = []content.Descriptor{} // null is no list
	}
	raw, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
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
