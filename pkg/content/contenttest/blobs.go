package contenttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

const blobSize = 256 << 10

func (s suite) blobSizes(t *testing.T) {
	target := s.Open(t)
	for _, size := range []int{0, 1, 32 << 10, 3<<20 + 7} {
		blob := NewLayer("sizes", size)
		requireBlob(t, target, blob, false)
		blob.Push(t, target)
		requireBlob(t, target, blob, true)
		blob.Check(t, target)
	}
}

func (s suite) readBlob(t *testing.T) {
	target := s.Open(t)
	blob := NewLayer("read as a whole", blobSize)
	blob.Push(t, target)
	raw, err := content.ReadBlob(t.Context(), target, blob.Descriptor)
	if err != nil || !bytes.Equal(raw, blob.Bytes) {
		t.Errorf("got %d bytes and %v", len(raw), err)
	}
	absent := NewLayer("not to be read", blobSize)
	if _, err := content.ReadBlob(t.Context(), target, absent.Descriptor); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("a blob that is not there: got %v, want not found", err)
	}
}

func (s suite) blobTwice(t *testing.T) {
	target := s.Open(t)
	blob := NewLayer("twice", blobSize)
	for range 2 {
		upload := startUpload(t, target, blob)
		if err := upload.Commit(t.Context(), blob.Stream()); err != nil {
			t.Fatalf("commit: %v", err)
		}
		if err := upload.Cancel(t.Context()); err != nil {
			t.Errorf("cancel after commit: %v", err)
		}
		requireBlob(t, target, blob, true)
	}
	blob.Check(t, target)
}

func (s suite) blobAtOnce(t *testing.T) {
	target := s.Open(t)
	blob := NewLayer("at once", blobSize)
	errs := make([]error, 8)
	var pushers sync.WaitGroup
	for i := range errs {
		pushers.Go(func() {
			upload, err := target.StartUpload(t.Context(), blob.Descriptor)
			if err == nil {
				err = upload.Commit(t.Context(), blob.Stream())
			}
			errs[i] = err
		})
	}
	pushers.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("pushes of one blob: %v", err)
	}
	requireBlob(t, target, blob, true)
	blob.Check(t, target)
}

// mismatchingBlob: the stream ends in an error, which comes out and leaves no blob.
func (s suite) mismatchingBlob(t *testing.T) {
	for _, size := range []int{0, 1000, blobSize} {
		s.mismatchingBlobOf(t, size)
	}
}

func (s suite) mismatchingBlobOf(t *testing.T, size int) {
	target := s.Open(t)
	blob := NewLayer("mismatch", size)
	sent := map[string][]byte{"long": append(bytes.Clone(blob.Bytes), 0)}
	if size > 0 {
		sent["empty"], sent["short"] = nil, blob.Bytes[:size-1]
		sent["other"] = NewLayer("something else", size).Bytes
	}
	for name, bytesSent := range sent {
		upload := startUpload(t, target, blob)
		err := upload.Commit(t.Context(), blob.streamOf(bytesSent))
		if !errors.Is(err, content.ErrMismatch) {
			t.Errorf("commit of %s bytes: got %v, want a mismatch", name, err)
		}
		requireBlob(t, target, blob, false)
		if err := upload.Cancel(t.Context()); err != nil {
			t.Errorf("cancel after %s bytes: %v", name, err)
		}
		requireBlob(t, target, blob, false)
	}
	blob.Push(t, target)
	blob.Check(t, target)
}

// foreignStream: a stream that verifies another blob than the upload is of, or does not yield
// all of it, is refused.
func (s suite) foreignStream(t *testing.T) {
	target := s.Open(t)
	blob := NewLayer("foreign stream", blobSize)
	longer := blob
	longer.Descriptor.Size++
	for name, stream := range map[string]*content.Stream{
		"another blob":    NewLayer("another blob", blobSize).Stream(),
		"of another size": longer.Stream(),
		"half read":       blob.StreamFrom(t, blobSize/2),
		"read whole":      blob.StreamFrom(t, blobSize),
	} {
		upload := startUpload(t, target, blob)
		if err := upload.Commit(t.Context(), stream); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("commit a stream of %s: got %v, want invalid", name, err)
		}
		requireBlob(t, target, blob, false)
		cancel(t, upload)
	}
}

var errBroken = errors.New("the source broke")

func (s suite) brokenBlob(t *testing.T) {
	target := s.Open(t)
	blob := NewLayer("broken", blobSize)
	upload := startUpload(t, target, blob)
	if err := upload.Commit(t.Context(), breakAfter(blob, blobSize/2)); !errors.Is(err, errBroken) {
		t.Errorf("commit of a source that breaks: got %v, want the source's error", err)
	}
	requireBlob(t, target, blob, false)
	if err := upload.Cancel(t.Context()); err != nil {
		t.Errorf("cancel: %v", err)
	}
	requireBlob(t, target, blob, false)
	blob.Push(t, target)
	blob.Check(t, target)
}

func (s suite) cancelledUpload(t *testing.T) {
	target := s.Open(t)
	blob := NewLayer("cancelled", blobSize)
	upload := startUpload(t, target, blob)
	for range 2 {
		if err := upload.Cancel(t.Context()); err != nil {
			t.Errorf("cancel: %v", err)
		}
	}
	requireBlob(t, target, blob, false)
	if err := upload.Commit(t.Context(), blob.Stream()); err == nil {
		t.Error("commit after cancel: got nil, want an error")
	}
	requireBlob(t, target, blob, false)
	blob.Push(t, target)
	blob.Check(t, target)
}

// endedContext: the context ends before a call, or while an upload reads.
func (s suite) endedContext(t *testing.T) {
	target := s.Open(t)
	image := NewImage("linux/amd64", NewLayer("context", 1000))
	image.Push(t, target, "v1")
	blob := NewLayer("not there", blobSize)

	ended, end := context.WithCancel(t.Context())
	end()
	upload := startUpload(t, target, blob)
	_, hasErr := target.HasBlob(ended, image.Blobs[0].Descriptor)
	_, startErr := target.StartUpload(ended, blob.Descriptor)
	_, resolveErr := target.Resolve(ended, "v1")
	_, manifestErr := target.FetchManifest(ended, image.Descriptor())
	_, blobErr := target.FetchBlob(ended, image.Blobs[0].Descriptor)
	_, pushErr := target.PushManifest(ended, image.Descriptor(), image.Root.Bytes, "v2")
	for call, err := range map[string]error{
		"HasBlob": hasErr, "StartUpload": startErr, "Resolve": resolveErr,
		"FetchManifest": manifestErr, "FetchBlob": blobErr, "PushManifest": pushErr,
		"Commit": upload.Commit(ended, blob.Stream()),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", call, err)
		}
	}
	requireBlob(t, target, blob, false)
	requireNothing(t, target, "v2")
	cancel(t, upload)

	during, interrupt := context.WithCancel(t.Context())
	upload = startUpload(t, target, blob)
	interrupted := io.MultiReader(bytes.NewReader(blob.Bytes[:blobSize/2]), readerFunc(func([]byte) (int, error) {
		interrupt()
		return 0, during.Err()
	}))
	if err := upload.Commit(during, content.NewStream(interrupted, blob.Descriptor)); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit that is interrupted: got %v, want the context's error", err)
	}
	requireBlob(t, target, blob, false)
	cancel(t, upload)
}

func (s suite) badDigests(t *testing.T) {
	target := s.Open(t)
	for _, bad := range []string{
		"", "sha256", "sha256:", "sha256:abc", "sha256:../../../../etc/passwd", "../../etc/passwd",
		"sha256:" + strings.Repeat("../", 21) + "x", "sha256:" + strings.Repeat("A", 64),
		"md5:d41d8cd98f00b204e9800998ecf8427e", "../sha256:" + strings.Repeat("a", 64),
	} {
		d := content.Descriptor{MediaType: "application/octet-stream", Digest: digestOf(bad), Size: 3}
		_, hasErr := target.HasBlob(t.Context(), d)
		_, startErr := target.StartUpload(t.Context(), d)
		_, blobErr := target.FetchBlob(t.Context(), d)
		_, manifestErr := target.FetchManifest(t.Context(), d)
		_, pushErr := target.PushManifest(t.Context(), d, []byte("abc"), "")
		errs := map[string]error{
			"HasBlob": hasErr, "StartUpload": startErr, "FetchBlob": blobErr,
			"FetchManifest": manifestErr, "PushManifest": pushErr,
		}
		if ranges, is := target.(content.RangeFetcher); is {
			_, errs["FetchBlobRange"] = ranges.FetchBlobRange(t.Context(), d, 0, 1)
		}
		if mounter, is := target.(content.Mounter); is {
			_, errs["Mount"] = mounter.Mount(t.Context(), d, target.Location().Repository)
		}
		if resumer, is := target.(content.UploadResumer); is {
			_, errs["ResumeUpload"] = resumer.ResumeUpload(t.Context(), d, "1")
		}
		if referrers, is := target.(content.ReferrersLister); is && s.Abilities.Referrers {
			_, errs["Referrers"] = referrers.Referrers(t.Context(), d.Digest)
		}
		for call, err := range errs {
			if !errors.Is(err, content.ErrInvalid) {
				t.Errorf("%s of digest %q: got %v, want invalid", call, bad, err)
			}
		}
		if bad != "" {
			if got, err := target.Resolve(t.Context(), bad); err == nil {
				t.Errorf("Resolve %q: got %s, want an error", bad, got.Digest)
			}
		}
	}
}

// BadReferences are neither tags, nor digests, nor full names of images. Some are names that
// hostile registries list.
func BadReferences() []string {
	return []string{
		"../../../team/victim/manifests/stable", "..", ".", ".hidden", "/etc/passwd", "a/b", "-x", " ", "a b", "a\nb", "a\x00b",
		"\x1b[2J", "é", "a%2fb", "a?b", "a#b", "sha256:abc", "sha256:../x", "sha256:" + strings.Repeat("A", 64), strings.Repeat("x", 200),
	}
}

func (s suite) badReferences(t *testing.T) {
	target := s.Open(t)
	image := NewImage("linux/amd64", NewLayer("reference", 100))
	image.Push(t, target, "v1")
	for _, bad := range BadReferences() {
		_, resolveErr := target.Resolve(t.Context(), bad)
		_, pushErr := target.PushManifest(t.Context(), image.Descriptor(), image.Root.Bytes, bad)
		errs := map[string]error{"Resolve": resolveErr, "PushManifest": pushErr}
		if fetcher, is := target.(content.TagFetcher); is {
			_, _, errs["FetchTag"] = fetcher.FetchTag(t.Context(), bad)
		}
		if deleter, is := target.(content.Deleter); is {
			errs["Delete"] = deleter.Delete(t.Context(), bad)
		}
		for call, err := range errs {
			if !errors.Is(err, content.ErrInvalid) {
				t.Errorf("%s of %q: got %v, want invalid", call, bad, err)
			}
		}
	}
	_, err := target.PushManifest(t.Context(), image.Descriptor(), image.Root.Bytes, image.Digest().String())
	if !errors.Is(err, content.ErrInvalid) {
		t.Errorf("a digest for a tag: got %v, want invalid", err)
	}
	requireResolved(t, target, "v1", image)
}

func requireBlob(t *testing.T, target content.BlobPusher, blob Blob, want bool) {
	t.Helper()
	got, err := target.HasBlob(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatalf("has blob: %v", err)
	}
	if got != want {
		t.Fatalf("has blob: got %v, want %v", got, want)
	}
	source := target.(content.BlobFetcher)
	stream, err := source.FetchBlob(t.Context(), blob.Descriptor)
	if err == nil {
		_ = stream.Close()
	}
	if !want && !errors.Is(err, content.ErrNotFound) {
		t.Fatalf("fetch a blob that is not there: got %v, want not found", err)
	}
}

func startUpload(t *testing.T, target content.BlobPusher, blob Blob) content.Upload {
	t.Helper()
	upload, err := target.StartUpload(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatalf("start upload: %v", err)
	}
	return upload
}

func cancel(t *testing.T, upload content.Upload) {
	t.Helper()
	if err := upload.Cancel(t.Context()); err != nil {
		t.Errorf("cancel: %v", err)
	}
}

// breakAfter is a stream whose source breaks after so many bytes.
func breakAfter(blob Blob, size int64) *content.Stream {
	return breakAfterOther(blob, blob.Bytes[:size])
}

// breakAfterOther is a stream of blob whose source yields raw, and breaks.
func breakAfterOther(blob Blob, raw []byte) *content.Stream {
	source := io.MultiReader(bytes.NewReader(raw), readerFunc(func([]byte) (int, error) { return 0, errBroken }))
	return content.NewStream(source, blob.Descriptor)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
