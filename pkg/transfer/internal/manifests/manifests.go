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

// memoryBytes bounds the manifests in memory. Tags that share a digest usually follow each
// other, so a small memory finds nearly all of them.
const memoryBytes = 16 << 20

// Cache keeps the manifests of a run: the most recently used ones in memory, the others in a
// file, so that an image whose deliveries wait is not read twice.
type Cache struct {
	file    file
	running *sync.WaitGroup
	fetches flight.Group[key, []byte]

	mu    sync.Mutex
	bytes int
	order list.List // of entry, the most recently used first
	index map[key]*list.Element
}

// New creates a cache. Its file is created in dir, or in the system's temporary directory if dir
// is empty. running counts its goroutines. The caller closes the cache.
func New(dir string, running *sync.WaitGroup) *Cache {
	return &Cache{file: file{dir: dir}, running: running}
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

// Keep adds a manifest that was read or written by other means.
func (c *Cache) Keep(at content.Location, d content.Descriptor, raw []byte) {
	c.keep(keyOf(at, d), raw)
}

// Bytes is the size of the manifests in memory.
func (c *Cache) Bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// Pending is how many reads are in progress.
func (c *Cache) Pending() int { return c.fetches.Pending() }

// Close frees the file. The cache must not be used afterwards.
func (c *Cache) Close() { c.file.close() }

// Reader reads the manifests of one place through the cache.
func (c *Cache) Reader(from content.Source) Reader { return Reader{c, from} }

// Reader implements content.ManifestFetcher.
type Reader struct {
	cache *Cache
	from  content.Source
}

// Has reports whether a manifest is in the cache.
func (r Reader) Has(d content.Descriptor) bool { return r.cache.has(keyOf(r.from.Location(), d)) }

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
	if raw := c.findInMemory(k); raw != nil {
		return raw
	}
	return c.file.find(k)
}

func (c *Cache) has(k key) bool { return c.findInMemory(k) != nil || c.file.has(k) }

func (c *Cache) findInMemory(k key) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.index[k]
	if element == nil {
		return nil
	}
	c.order.MoveToFront(element)
	found, _ := element.Value.(entry)
	return found.raw
}

func (c *Cache) keep(k key, raw []byte) {
	for _, evicted := range c.keepInMemory(k, raw) {
		c.file.keep(evicted)
	}
}

func (c *Cache) keepInMemory(k key, raw []byte) (evicted []entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index == nil {
		c.index = map[key]*list.Element{}
	}
	if c.index[k] != nil {
		return nil
	}
	c.index[k] = c.order.PushFront(entry{k, raw})
	for c.bytes += len(raw); c.bytes > memoryBytes && c.order.Len() > 1; {
		last := c.order.Back()
		oldest, _ := c.order.Remove(last).(entry)
		delete(c.index, oldest.key)
		c.bytes -= len(oldest.raw)
		evicted = append(evicted, oldest)
	}
	return evicted
}

// fileBytes bounds the file of a run.
const fileBytes = 1 << 30

// file keeps manifests in an unnamed temporary file. What does not fit is read from the source again.
// The zero value creates its file in the system's temporary directory.
type file struct {
	dir  string
	open sync.Once
	file *spool.File // nil if there is none

	mu    sync.Mutex // not held over I/O
	end   int64
	spans map[key]span
}

type span struct {
	offset int64
	length int
}

func (f *file) keep(e entry) {
	f.open.Do(func() { f.file, _ = spool.NewFile(f.dir) })
	at, ok := f.reserve(e.key, len(e.raw))
	if f.file == nil || !ok {
		return
	}
	if _, err := f.file.WriteAt(e.raw, at.offset); err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spans == nil {
		f.spans = map[key]span{}
	}
	f.spans[e.key] = at
}

// reserve takes space in the file, unless the manifest is there or the file is full.
func (f *file) reserve(k key, length int) (span, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.spans[k]; there || f.end+int64(length) > fileBytes {
		return span{}, false
	}
	at := span{f.end, length}
	f.end += int64(length)
	return at, true
}

func (f *file) find(k key) []byte {
	f.mu.Lock()
	at, there := f.spans[k]
	f.mu.Unlock()
	if !there {
		return nil
	}
	raw := make([]byte, at.length)
	if _, err := f.file.ReadAt(raw, at.offset); err != nil || content.VerifyBytes(raw, content.Descriptor{Digest: k.digest}) != nil {
		return nil
	}
	return raw
}

func (f *file) has(k key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, there := f.spans[k]
	return there
}

// close frees the file.
func (f *file) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}
