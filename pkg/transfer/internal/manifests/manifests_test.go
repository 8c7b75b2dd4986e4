package manifests

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

// What does not fit in memory is found in the file, and what the file has spoiled is not.
func TestManifestsBeyondMemory(t *testing.T) {
	c := New(t.TempDir(), new(sync.WaitGroup))
	defer c.Close()
	at := content.Location{Registry: "a.test", Repository: "app"}
	var keys []key
	const size = 2 << 20
	for n := range 20 { // 40 MiB
		raw := bytes.Repeat([]byte(fmt.Sprintf("%04d", n)), size/4)
		k := keyOf(at, content.NewDescriptor("", raw))
		c.keep(k, raw)
		keys = append(keys, k)
	}
	if c.bytes > memoryBytes {
		t.Errorf("%d bytes in memory", c.bytes)
	}
	for n, k := range keys {
		if raw := c.find(k); len(raw) != size || !bytes.HasPrefix(raw, []byte(fmt.Sprintf("%04d", n))) {
			t.Errorf("manifest %d: found %d bytes", n, len(raw))
		}
	}
	if _, err := c.file.WriteAt([]byte("spoiled"), 0); err != nil {
		t.Fatal(err)
	}
	if raw := c.find(keys[0]); raw != nil {
		t.Error("a manifest that does not match its digest was found")
	}
}

func TestManifestsWithoutAFile(t *testing.T) {
	c := New(t.TempDir()+"/none", new(sync.WaitGroup))
	for n := range 10 {
		raw := bytes.Repeat([]byte{byte(n)}, 4<<20)
		c.Keep(content.Location{}, content.NewDescriptor("", raw), raw)
	}
	if c.bytes > memoryBytes {
		t.Errorf("%d bytes in memory", c.bytes)
	}
}
