package transfer

import (
	"container/list"
	"context"
	"sync"

	"github.com/regsync/regsync/pkg/content"
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

// manifestCache remembers the manifests used last.
type manifestCache struct {
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index == nil {
		c.index = map[manifestKey]*list.Element{}
	}
	if c.index[key] != nil {
		return
	}
	c.index[key] = c.order.PushFront(manifestEntry{key, raw})
	for c.bytes += len(raw); c.bytes > manifestCacheBytes && c.order.Len() > 1; {
		last := c.order.Back()
		entry, _ := c.order.Remove(last).(manifestEntry)
		delete(c.index, entry.key)
		c.bytes -= len(entry.raw)
	}
}
