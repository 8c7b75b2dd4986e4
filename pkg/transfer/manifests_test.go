package transfer

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

// What does not fit in memory is found in the file, and what the file has spoiled is not.
func TestManifestsBeyondMemory(t *testing.T) {
	c := &manifestCache{file: manifestFile{dir: t.TempDir()}}
	defer c.file.close()
	at := content.Location{Registry: "a.test", Repository: "app"}
	var keys []manifestKey
	const size = 2 << 20
	for n := range 20 { // 40 MiB
		raw := bytes.Repeat([]byte(fmt.Sprintf("%04d", n)), size/4)
		key := manifestKey{at, idOf(content.NewDescriptor("", raw))}
		c.keep(key, raw)
		keys = append(keys, key)
	}
	if c.bytes > manifestCacheBytes {
		t.Errorf("%d bytes in memory", c.bytes)
	}
	for n, key := range keys {
		if raw := c.find(key); len(raw) != size || !bytes.HasPrefix(raw, []byte(fmt.Sprintf("%04d", n))) {
			t.Errorf("manifest %d: found %d bytes", n, len(raw))
		}
	}
	if _, err := c.file.file.WriteAt([]byte("spoiled"), 0); err != nil {
		t.Fatal(err)
	}
	if raw := c.file.find(keys[0]); raw != nil {
		t.Error("a manifest that does not match its digest was found")
	}
}

func TestManifestsWithoutAFile(t *testing.T) {
	c := &manifestCache{file: manifestFile{dir: t.TempDir() + "/none"}}
	for n := range 10 {
		raw := bytes.Repeat([]byte{byte(n)}, 4<<20)
		c.keep(manifestKey{id: idOf(content.NewDescriptor("", raw))}, raw)
	}
	if c.bytes > manifestCacheBytes {
		t.Errorf("%d bytes in memory", c.bytes)
	}
}
