package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layer is a layer with one file of so many random bytes, the same for the same seed. It is
// a real archive, so that other tools leave it as it is.
func Layer(t testing.TB, seed uint64, size int64) v1.Layer {
	t.Helper()
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := writer.WriteHeader(&tar.Header{Name: fmt.Sprintf("file-%d", seed), Mode: 0o644, Size: size}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(writer, rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}), size); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.NoCompression), tarball.WithCompressedCaching)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// Image is an image of layers, for a platform.
func Image(t testing.TB, platform string, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(
		mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, _ = strings.Cut(platform, "/")
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// Index is an index of images, by platform, in the order of platforms.
func Index(t testing.TB, platforms []string, image func(platform string) v1.Image) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image(text),
			Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	return index
}

// Push puts an image or an index at a plain registry, with another client than ours.
func Push(t testing.TB, reference string, image remote.Taggable, options ...remote.Option) {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	options = append(options, remote.WithContext(t.Context()))
	switch image := image.(type) {
	case v1.Image:
		err = remote.Write(ref, image, options...)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, image, options...)
	default:
		err = remote.Put(ref, image, options...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Digest is what a plain registry says that a tag points at, asked by another client than
// ours; empty if there is no such tag.
func Digest(t testing.TB, reference string, options ...remote.Option) string {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := remote.Head(ref, append(options, remote.WithContext(t.Context()))...)
	if refused, ok := errors.AsType[*transport.Error](err); ok && refused.StatusCode == http.StatusNotFound {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return descriptor.Digest.String()
}

// PushLarge puts an image with one layer of size bytes at a plain registry, without holding it
// in memory.
func PushLarge(t testing.TB, reference string, size int64) {
	t.Helper()
	layer := &largeLayer{size: size}
	digest, _, err := v1.SHA256(layer.open())
	if err != nil {
		t.Fatal(err)
	}
	layer.digest = digest
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := putBlob(t.Context(), ref.Context(), layer); err != nil {
		t.Fatal(err)
	}
	Push(t, reference, Image(t, "linux/amd64", layer))
}

// largeLayer is a layer of random bytes that are made while they are read.
type largeLayer struct {
	size   int64
	digest v1.Hash
}

var _ v1.Layer = (*largeLayer)(nil)

func (l *largeLayer) open() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{99}), l.size) }

func (l *largeLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *largeLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *largeLayer) Compressed() (io.ReadCloser, error)   { return io.NopCloser(l.open()), nil }
func (l *largeLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }
func (l *largeLayer) Size() (int64, error)                 { return l.size, nil }
func (l *largeLayer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }

func putBlob(ctx context.Context, repository name.Repository, layer *largeLayer) error {
	base := "http://" + repository.RegistryStr()
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v2/"+repository.RepositoryStr()+"/blobs/uploads/", http.NoBody)
	if err != nil {
		return err
	}
	opened, err := http.DefaultClient.Do(post)
	if err != nil {
		return err
	}
	opened.Body.Close()
	location, err := opened.Location()
	if err != nil {
		return fmt.Errorf("%s: %w", opened.Status, err)
	}
	query := location.Query()
	query.Set("digest", layer.digest.String())
	location.RawQuery = query.Encode()
	put, err := http.NewRequestWithContext(ctx, http.MethodPut, location.String(), layer.open())
	if err != nil {
		return err
	}
	put.ContentLength = layer.size
	answer, err := http.DefaultClient.Do(put)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("put blob: %s: %s", answer.Status, bytes.TrimSpace(text))
	}
	return nil
}
