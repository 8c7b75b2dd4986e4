package layout

import (
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

// index is the content of index.json.
type index struct {
	ocispec.Index // Manifests has the valid entries only
	// invalid are the entries that [content.CheckDescriptor] refuses. They stay in the file until
	// another image gets their name.
	invalid []content.Descriptor
	version fs.FileInfo // of the file that was read: another value after each change
}

// indexFile caches the parsed index.json.
type indexFile struct {
	*blobs
	mu     sync.Mutex
	parsed index
	// written is the last content that this process wrote. A file with other content is from another process.
	written digest.Digest
}

func newIndex() index {
	return index{Index: ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
	}}
}

// read returns the content of index.json. The caller must not change it.
func (f *indexFile) read() (index, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := f.file(ocispec.ImageIndexFile)
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if f.preview {
			return newIndex(), nil
		}
		return index{}, &NoLayoutError{f.path, "no file " + ocispec.ImageIndexFile}
	}
	if err != nil {
		return index{}, err
	}
	if f.parsed.version != nil && unchanged(f.parsed.version, now) {
		return f.parsed, nil
	}
	raw, err := readBounded(path, maxIndexSize)
	if err != nil {
		return index{}, err
	}
	parsed, err := parseIndex(raw)
	if err != nil {
		return index{}, fmt.Errorf("%s: %w", path, err)
	}
	parsed.version = now
	f.parsed = parsed
	if digest.FromBytes(raw) != f.written {
		f.own.Clear() // the other process may refer to any of them
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

// write replaces index.json. The caller has index.lock.
func (f *indexFile) write(index index) error {
	file := index.Index
	file.Manifests = append([]content.Descriptor{}, index.Manifests...) // not nil: null is no list
	file.Manifests = append(file.Manifests, index.invalid...)
	raw, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.written = digest.FromBytes(raw)
	f.mu.Unlock()
	return f.replace(ocispec.ImageIndexFile, raw)
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
