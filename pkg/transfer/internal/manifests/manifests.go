// Package manifests reads each manifest of a run once: registries count manifest reads, and
// many images share manifests.
//
// Start at [Cache.Reader].
package manifests

import (
	"container/list"
	"context"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
)

const (
	// memoryBytes bounds the manifests in memory. Tags that share a digest usually follow each
	// other, so a small memory finds nearly all of them.
	memoryBytes = 16 << 20
	// fileBytes bounds the file of a run. What does not fit is read from the source again.
	fileBytes = 1 << 30
)

// Cache keeps the manifests of a run: the most recently used ones in memory, the others in a
// file, so that an image whose deliveries wait is not read twice.
type Cache struct {
	running *sync.WaitGroup
	fetches flight.Group[key, []byte]

	dir      string
	openFile sync.Once
	file     *spool.File // nil if there is none

	mu    sync.Mutex // not held over I/O
	bytes int        // in memory
	order list.List  // of entry, the most recently used first
	index map[key]*list.Element
	end   int64 // of what was written to the file
	spans map[key]span
}

// key is a manifest at a place, as a descriptor describes it.
type key struct {
	at     content.Location
	digest digest.Digest
	size   int64
}

func keyOf(at content.Location, d content.Descriptor) key { return key{at, d.Digest, d.Size} }

type entry struct {
	key key
	raw []byte
}

type span struct {
	offset int64
	length int
}

// New creates a cache. Its file is created in dir, or in the system's temporary directory if dir
// is empty. running counts its goroutines. The caller closes the cache.
func New(dir string, running *sync.WaitGroup) *Cache {
	return &Cache{dir: dir, running: running, index: map[key]*list.Element{}, spans: map[key]span{}}
}

// Close frees the file. The cache must not be used afterwards.
func (c *Cache) Close() {
	if c.file != nil {
		_ = c.file.Close()
	}
}

// Bytes is the size of the manifests in memory.
func (c *Cache) Bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// Pending is how many reads are in progress.
func (c *Cache) Pending() int { return c.fetches.Pending() }

// Reader reads the manifests of one place through the cache.
func (c *Cache) Reader(from content.Source) Reader { return Reader{c, from} }

// Reader implements content.ManifestFetcher.
type Reader struct {
	cache *Cache
	from  content.Source
}

// Has reports whether a manifest is in the cache.
func (r Reader) Has(d content.Descriptor) bool {
	k := keyOf(r.from.Location(), d)
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	_, inFile := r.cache.spans[k]
	return inFile || r.cache.index[k] != nil
}

// FetchManifest returns a manifest from the cache or reads it.
func (r Reader) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	k := keyOf(r.from.Location(), d)
	if raw := r.cache.find(k); raw != nil {
		return raw, nil
	}
	raw, _, err := r.cache.fetches.Do(ctx, r.cache.running, k, func(ctx context.Context) ([]byte, error) {
		if raw := r.cache.find(k); raw != nil { // fetched a moment ago
			return raw, nil
		}
		raw, err := r.from.FetchManifest(ctx, d)
		if err == nil {
			r.cache.keep(k, raw)
		}
		return raw, err
	})
	return raw, err
}

func (c *Cache) find(k key) []byte {
	c.mu.Lock()
	element := c.index[k]
	if element != nil {
		c.order.MoveToFront(element)
	}
	at, inFile := c.spans[k]
	c.mu.Unlock()
	if element != nil {
		found, _ := element.Value.(entry)
		return found.raw
	}
	if !inFile {
		return nil
	}
	raw := make([]byte, at.length)
	if _, err := c.file.ReadAt(raw, at.offset); err != nil || content.VerifyBytes(raw, content.Descriptor{Digest: k.digest}) != nil {
		return nil
	}
	return raw
}

// Keep adds a manifest that was read or written by other means.
func (c *Cache) Keep(at content.Location, d content.Descriptor, raw []byte) {
	c.keep(keyOf(at, d), raw)
}

func (c *Cache) keep(k key, raw []byte) {
	for _, evicted := range c.keepInMemory(k, raw) {
		c.openFile.Do(func() { c.file, _ = spool.NewFile(c.dir) })
		at, ok := c.reserve(evicted)
		if c.file == nil || !ok {
			continue
		}
		if _, err := c.file.WriteAt(evicted.raw, at.offset); err == nil {
			c.mu.Lock()
			c.spans[evicted.key] = at
			c.mu.Unlock()
		}
	}
}

func (c *Cache) keepInMemory(k key, raw []byte) (evicted []entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index[k] != nil {
		return nil
	}
	c.index[k] = c.order.PushFront(entry{k, raw})
	for c.bytes += len(raw); c.bytes > memoryBytes && c.order.Len() > 1; {
		oldest, _ := c.order.Remove(c.order.Back()).(entry)
		delete(c.index, oldest.key)
		c.bytes -= len(oldest.raw)
		evicted = append(evicted, oldest)
	}
	return evicted
}

// reserve takes space in the file, unless the manifest is there or the file is full.
func (c *Cache) reserve(e entry) (span, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := span{c.end, len(e.raw)}
	if _, there := c.spans[e.key]; there || at.offset+int64(at.length) > fileBytes {
		return span{}, false
	}
	c.end += int64(at.length)
	return at, true
}
