package registry

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// A proxy compresses the answers of a registry although the client did not request it. The digests are those of the
// uncompressed bytes.
func TestCompressedAnswers(t *testing.T) {
	server := registrytest.New(t, registrytest.With(registrytest.GzipUnasked))
	image := registrytest.Image(registrytest.ImageSpec{})
	server.Push("app", "1", image)
	r := source(t, newClient(t, Options{}), server.Host(), "app")
	d, err := r.Resolve(t.Context(), "1")
	if err != nil || d.Digest != image.Digest() || d.Size != image.Descriptor.Size {
		t.Fatalf("resolved to %+v, %v", d, err)
	}
	if raw, err := r.FetchManifest(t.Context(), d); err != nil || !bytes.Equal(raw, image.Raw) {
		t.Errorf("manifest: got %d bytes, %v", len(raw), err)
	}
	if raw, err := r.ReadBlob(t.Context(), image.Config); err != nil || !bytes.Equal(raw, image.Blobs[image.Config.Digest]) {
		t.Errorf("config: got %d bytes, %v", len(raw), err)
	}
	body, err := r.FetchBlob(t.Context(), image.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if raw, err := io.ReadAll(content.NewStream(body, image.Layers[0])); err != nil || !bytes.Equal(raw, image.Blobs[image.Layers[0].Digest]) {
		t.Errorf("layer: got %d bytes, %v", len(raw), err)
	}
	if there, err := r.HasBlob(t.Context(), image.Layers[0]); !there || err != nil {
		t.Errorf("the layer is there: %v, %v", there, err)
	}
}

// An object store may state the encoding of a layer that it stores. Then the body is the layer itself.
func TestEncodingOfTheBlobItself(t *testing.T) {
	blob := layer(1000)
	host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(blob.Bytes)))
		_, _ = w.Write(blob.Bytes)
	}))
	body, err := source(t, newClient(t, Options{}), host, "a").FetchBlob(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if raw, err := io.ReadAll(body); err != nil || !bytes.Equal(raw, blob.Bytes) {
		t.Errorf("got %d bytes, %v", len(raw), err)
	}
}

// An answer that cannot be decompressed is read again, as after a broken connection.
func TestBrokenCompression(t *testing.T) {
	blob := layer(100_000)
	var whole bytes.Buffer
	zip := gzip.NewWriter(&whole)
	_, _ = zip.Write(blob.Bytes)
	_ = zip.Close()
	flipped := bytes.Clone(whole.Bytes())
	flipped[len(flipped)-5] ^= 1 // of the checksum
	for name, sent := range map[string][]byte{
		"not compressed": append([]byte("no"), blob.Bytes...), "cut": whole.Bytes()[:5000], "flipped": flipped,
	} {
		host, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(sent)
		}))
		body, err := source(t, newClient(t, Options{}), host, "a").FetchBlob(t.Context(), blob.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(body); !retry.Retryable(err) {
			t.Errorf("%s: got %v, want an error that is retried", name, err)
		}
		_ = body.Close()
	}
}

// A config with corrupted bytes is read again, like a manifest.
func TestConfigIsReadAgain(t *testing.T) {
	server := registrytest.New(t)
	d := server.PushBlob("app", []byte("0123456789"))
	server.FailTimes(1, registrytest.Match("GET", "/blobs/"), registrytest.WrongBytes.Fault(3))
	raw, err := source(t, newClient(t, Options{}), server.Host(), "app").ReadBlob(t.Context(), content.Descriptor{Digest: d, Size: 10})
	if err != nil || string(raw) != "0123456789" {
		t.Errorf("got %q, %v", raw, err)
	}
}
