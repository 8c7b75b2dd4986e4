package transfer

import (
	"container/list"
	"context"
	"sync"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
)

// manifestCacheBytes bounds the manifests that a run remembers. Tags that share a digest
// stand close together as a rule, so that a small memory catches nearly all of them.
const manifestCacheBytes = 16 << 20

// manifestReader reads manifests of one source, each once while it is remembered: many
// registries count manifest reads.
type manifestReader struct {
	engine *Engine
	source content.Source
}

type manifestKey struct {
	place content.Location
	id    blobID
}

// FetchManifest implements content.ManifestFetcher.
func (r manifestReader) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	key := manifestKey{r.source.Location(), idOf(d)}
	if raw := r.engine.manifests.find(key); raw != nil {
		return raw, nil
	}
	raw, _, err := r.engine.manifestFetches.Do(ctx, &r.engine.running, key, func(ctx context.Context) ([]byte, error) {
		if raw := r.engine.manifests.find(key); raw != nil { // fetched a moment ago
			return raw, nil
		}
		raw, err := r.source.FetchManifest(ctx, d)
		if err == nil {
			r.engine.manifests.keep(key, raw)
		}
		return raw, err
	})
	return raw, err
}

// manifestCache remembers the manifests of a run: those used last in memory, the others in a
// file. An image whose deliveries wait for their turn is not read twice.
type manifestCache struct {
	file manifestFile

	mu    sync.Mutex
	bytes int
	order list.List // of manifestEntry, the latest used first
	index map[manifestKey]*list.Element
}

type manifestEntry struct {
	key manifestKey
	raw []byte
}

func (c *manifestCache) find(key manifestKey) []byte {
	if raw := c.findInMemory(key); raw != nil {
		return raw
	}
	return c.file.find(key)
}

func (c *manifestCache) findInMemory(key manifestKey) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.index[key]
	if element == nil {
		return nil
	}
	c.order.MoveToFront(element)
	entry, _ := element.Value.(manifestEntry)
	return entry.raw
}

func (c *manifestCache) keep(key manifestKey, raw []byte) {
	for _, evicted := range c.keepInMemory(key, raw) {
		c.file.keep(evicted)
	}
}

func (c *manifestCache) keepInMemory(key manifestKey, raw []byte) (evicted []manifestEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index == nil {
		c.index = map[manifestKey]*list.Element{}
	}
	if c.index[key] != nil {
		return nil
	}
	c.index[key] = c.order.PushFront(manifestEntry{key, raw})
	for c.bytes += len(raw); c.bytes > manifestCacheBytes && c.order.Len() > 1; {
		last := c.order.Back()
		entry, _ := c.order.Remove(last).(manifestEntry)
		delete(c.index, entry.key)
		c.bytes -= len(entry.raw)
		evicted = append(evicted, entry)
	}
	return evicted
}

// manifestFileBytes bounds the file of a run.
const manifestFileBytes = 1 << 30

// manifestFile keeps manifests in a temporary file without a name. Without space for it they
// are read again. The zero value makes its file in the system's temporary directory.
type manifestFile struct {
	dir  string
	open sync.Once
	file *spool.File // nil where there is none

	mu    sync.Mutex // not held over I/O
	end   int64
	spans map[manifestKey]manifestSpan
}

type manifestSpan struct {
	offset int64
	length int
}

func (f *manifestFile) keep(entry manifestEntry) {
	f.open.Do(func() { f.file, _ = spool.NewFile(f.dir) })
	span, ok := f.reserve(entry.key, len(entry.raw))
	if f.file == nil || !ok {
		return
	}
	if _, err := f.file.WriteAt(entry.raw, span.offset); err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spans == nil {
		f.spans = map[manifestKey]manifestSpan{}
	}
	f.spans[entry.key] = span
}

// reserve takes space in the file, unless the manifest is there or the file is full.
func (f *manifestFile) reserve(key manifestKey, length int) (manifestSpan, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.spans[key]; there || f.end+int64(length) > manifestFileBytes {
		return manifestSpan{}, false
	}
	span := manifestSpan{f.end, length}
	f.end += int64(length)
	return span, true
}

func (f *manifestFile) find(key manifestKey) []byte {
	f.mu.Lock()
	span, there := f.spans[key]
	f.mu.Unlock()
	if !there {
		return nil
	}
	raw := make([]byte, span.length)
	if _, err := f.file.ReadAt(raw, span.offset); err != nil || content.VerifyBytes(raw, content.Descriptor{Digest: key.id.digest}) != nil {
		return nil
	}
	return raw
}

// close frees the file.
func (f *manifestFile) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}
