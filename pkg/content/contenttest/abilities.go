package contenttest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

// unable checks that a backend that is not listed as able says so.
func unable(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("an ability that is not listed: got %v, want %v", err, want)
	}
}

func (s suite) mount(t *testing.T) {
	target := s.Open(t)
	mounter, is := ability[content.Mounter](t, target, s.Abilities.Mount)
	if !is {
		return
	}
	blob := NewLayer("mount", blobSize)
	if !s.Abilities.Mount {
		_, err := mounter.Mount(t.Context(), blob.Descriptor, target.Location().Repository)
		unable(t, err, content.ErrNotMounted)
		return
	}
	sibling := s.Sibling(t, target)
	if a, b := target.Location(), sibling.Location(); a.Registry != b.Registry || a.Repository == b.Repository {
		t.Fatalf("siblings are at %v and %v, want one registry and two repositories", a, b)
	}
	from := sibling.Location().Repository

	upload, err := mounter.Mount(t.Context(), blob.Descriptor, from)
	requireRefusal(t, target, blob, upload, err)
	upload, err = mounter.Mount(t.Context(), blob.Descriptor, target.Location().Repository)
	requireRefusal(t, target, blob, upload, err)

	NewImage("linux/amd64", blob).Push(t, sibling, "v1")
	upload, err = mounter.Mount(t.Context(), blob.Descriptor, from)
	if upload != nil || err != nil {
		t.Fatalf("mount what is there: got %v and %v, want nil and nil", upload, err)
	}
	requireBlob(t, target, blob, true)
	blob.Check(t, target)
	upload, err = mounter.Mount(t.Context(), blob.Descriptor, target.Location().Repository)
	if upload != nil || err != nil {
		t.Errorf("mount from itself: got %v and %v, want nil and nil", upload, err)
	}

	another := NewLayer("mount that became an upload", blobSize)
	upload, err = mounter.Mount(t.Context(), another.Descriptor, from)
	if err == nil && upload != nil {
		if err := upload.Commit(t.Context(), another.Stream()); err != nil {
			t.Errorf("commit the upload of a refused mount: %v", err)
		}
		another.Check(t, target)
	}
}

// requireRefusal checks the answer to a mount of what is not there.
func requireRefusal(t *testing.T, target content.Target, blob Blob, upload content.Upload, err error) {
	t.Helper()
	switch {
	case upload != nil && err == nil:
		cancel(t, upload)
	case upload == nil && errors.Is(err, content.ErrNotMounted):
	default:
		t.Fatalf("mount what is not there: got %v and %v, want an upload or not mounted", upload, err)
	}
	requireBlob(t, target, blob, false)
}

func (s suite) ranges(t *testing.T) {
	target := s.Open(t)
	fetcher, is := ability[content.RangeFetcher](t, target, s.Abilities.Range)
	if !is {
		return
	}
	blob := NewLayer("ranges", blobSize)
	blob.Push(t, target)
	if !s.Abilities.Range {
		_, err := fetcher.FetchBlobRange(t.Context(), blob.Descriptor, 1, 2)
		unable(t, err, content.ErrUnsupported)
		return
	}
	for _, r := range []struct{ offset, length int64 }{
		{0, 1}, {0, blobSize}, {1000, 5000}, {blobSize - 10, 10}, {blobSize - 1, 1},
	} {
		got, err := readRange(t, fetcher, blob, r.offset, r.length)
		if want := blob.Bytes[r.offset : r.offset+r.length]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes from %d: got %d bytes and %v", r.length, r.offset, len(got), err)
		}
	}
	for _, r := range []struct{ offset, length int64 }{{blobSize - 10, 11}, {blobSize, 1}, {blobSize + 5, 5}, {-1, 2}} {
		if got, err := readRange(t, fetcher, blob, r.offset, r.length); err == nil {
			t.Errorf("%d bytes from %d of %d: got %d bytes, want an error", r.length, r.offset, blobSize, len(got))
		}
	}
	absent := NewLayer("no such ranges", blobSize)
	if _, err := fetcher.FetchBlobRange(t.Context(), absent.Descriptor, 0, 10); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("range of a blob that is not there: got %v, want not found", err)
	}
}

func readRange(t *testing.T, fetcher content.RangeFetcher, blob Blob, offset, length int64) ([]byte, error) {
	t.Helper()
	stream, err := fetcher.FetchBlobRange(t.Context(), blob.Descriptor, offset, length)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	return io.ReadAll(stream)
}

func (s suite) resume(t *testing.T) {
	target := s.Open(t)
	blob := NewLayer("resume", blobSize)
	upload := startUpload(t, target, blob)
	resumable, is := ability[content.ResumableUpload](t, upload, s.Abilities.Resume)
	if !is || !s.Abilities.Resume {
		cancel(t, upload)
		return
	}
	offset := commitPart(t, resumable, blob, blob.Bytes[:blobSize/2])
	if err := resumable.CommitFrom(t.Context(), offset, skip(t, breakAfter(blob, offset+1000), offset)); !errors.Is(err, errBroken) {
		t.Fatalf("commit from %d: got %v, want the source's error", offset, err)
	}
	requireBlob(t, target, blob, false)
	offset = requireOffset(t, resumable)
	if err := resumable.CommitFrom(t.Context(), offset, blob.StreamFrom(t, offset+1)); !errors.Is(err, content.ErrInvalid) {
		t.Fatalf("commit a stream that is elsewhere: got %v, want invalid", err)
	}
	if err := resumable.CommitFrom(t.Context(), offset, resumedStream(t, blob, offset)); err != nil {
		t.Fatalf("commit from %d: %v", offset, err)
	}
	requireBlob(t, target, blob, true)
	blob.Check(t, target)
	cancel(t, resumable)
}

// resumedStream goes on from a checkpoint.
func resumedStream(t *testing.T, blob Blob, offset int64) *content.Stream {
	t.Helper()
	state, err := blob.StreamFrom(t, offset).MarshalBinary()
	if err != nil {
		t.Fatalf("checkpoint at %d: %v", offset, err)
	}
	s, err := content.ResumeStream(bytes.NewReader(blob.Bytes[offset:]), blob.Descriptor, state)
	if err != nil {
		t.Fatalf("resume at %d: %v", offset, err)
	}
	return s
}

// resumeWithOtherBytes: the two parts of an upload do not make the blob.
func (s suite) resumeWithOtherBytes(t *testing.T) {
	target := s.Open(t)
	if !s.Abilities.Resume {
		return
	}
	blob, other := NewLayer("resumed blob", blobSize), NewLayer("other bytes", blobSize)
	mixed := slices.Concat(blob.Bytes[:blobSize/4], other.Bytes[blobSize/4:])
	for _, test := range []struct {
		name          string
		first, second []byte
		blame         bool // the source
	}{
		{"the second source", blob.Bytes, mixed, true},
		{"the first source", other.Bytes, blob.Bytes, false},
	} {
		upload := startUpload(t, target, blob).(content.ResumableUpload)
		offset := commitPart(t, upload, blob, test.first[:blobSize/2])
		err := upload.CommitFrom(t.Context(), offset, skip(t, blob.streamOf(test.second), offset))
		if !errors.Is(err, content.ErrMismatch) {
			t.Errorf("%s has other bytes: got %v, want a mismatch", test.name, err)
		}
		if _, blamed := errors.AsType[*content.MismatchError](err); blamed != test.blame {
			t.Errorf("%s has other bytes: got %v, want a MismatchError: %v", test.name, err, test.blame)
		}
		requireBlob(t, target, blob, false)
		cancel(t, upload)
	}
}

// commitPart breaks off an upload after raw, and returns how much of it has arrived. The end of
// a connection may take with it what the other side has not read yet, so that nothing arrives
// on a busy machine: then it is tried again.
func commitPart(t *testing.T, upload content.ResumableUpload, blob Blob, raw []byte) (offset int64) {
	t.Helper()
	for range 20 {
		if err := upload.Commit(t.Context(), breakAfterOther(blob, raw)); !errors.Is(err, errBroken) {
			t.Fatalf("commit: got %v, want the source's error", err)
		}
		offset, err := upload.Offset(t.Context())
		if err != nil {
			t.Fatalf("offset: %v", err)
		}
		if offset > 0 {
			return offset
		}
	}
	t.Fatal("nothing of an upload that broke ever arrives")
	return 0
}

// requireOffset asks how much of the first half has arrived: something, since the upload
// is useless otherwise.
func requireOffset(t *testing.T, upload content.ResumableUpload) int64 {
	t.Helper()
	offset, err := upload.Offset(t.Context())
	if err != nil {
		t.Fatalf("offset: %v", err)
	}
	if offset <= 0 || offset > blobSize/2+1000 {
		t.Fatalf("offset: got %d, want more than 0 and at most what was sent", offset)
	}
	return offset
}

func (s suite) session(t *testing.T) {
	target := s.Open(t)
	if _, is := ability[content.UploadResumer](t, target, s.Abilities.Session); !is || !s.Abilities.Session {
		return
	}
	blob := NewLayer("session", blobSize)
	upload := startUpload(t, target, blob).(content.ResumableUpload)
	commitPart(t, upload, blob, blob.Bytes[:blobSize/2])
	session := upload.Session()
	if s.Reopen != nil {
		target = s.Reopen(t, target)
	}
	resumer := target.(content.UploadResumer)
	resumed, err := resumer.ResumeUpload(t.Context(), blob.Descriptor, session)
	if err != nil {
		t.Fatalf("resume: %v", err)
	}
	offset := requireOffset(t, resumed)
	if err := resumed.CommitFrom(t.Context(), offset, blob.StreamFrom(t, offset)); err != nil {
		t.Fatalf("commit from %d: %v", offset, err)
	}
	blob.Check(t, target)
	if _, err := resumer.ResumeUpload(t.Context(), blob.Descriptor, session); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("resume what was committed: got %v, want not found", err)
	}

	upload = startUpload(t, target, NewLayer("given up", blobSize)).(content.ResumableUpload)
	session = upload.Session()
	cancel(t, upload)
	if _, err := resumer.ResumeUpload(t.Context(), blob.Descriptor, session); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("resume what was cancelled: got %v, want not found", err)
	}
}

func (s suite) tags(t *testing.T) {
	target := s.Open(t)
	lister, is := ability[content.TagLister](t, target, s.Abilities.Tags)
	if !is {
		return
	}
	if !s.Abilities.Tags {
		for _, err := range lister.Tags(t.Context()) {
			unable(t, err, content.ErrUnsupported)
		}
		return
	}
	for _, err := range lister.Tags(t.Context()) {
		if err != nil && !errors.Is(err, content.ErrNotFound) {
			t.Errorf("tags of an empty repository: got %v, want none or not found", err)
		}
	}
	image := NewImage("linux/amd64", NewLayer("tags", 100))
	want := []string{"1", "1.2", "latest", "v1.0_RC-1"}
	for _, tag := range want {
		image.Push(t, target, tag)
	}
	NewIndex(image).Push(t, target, "1")
	requireTags(t, lister, want...)
	for _, err := range lister.Tags(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break
	}
}

func requireTags(t *testing.T, lister content.TagLister, want ...string) {
	t.Helper()
	var got []string
	for tag, err := range lister.Tags(t.Context()) {
		if err != nil {
			t.Fatalf("tags: %v", err)
		}
		got = append(got, tag)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("tags: got %q, want %q", got, want)
	}
}

func (s suite) delete(t *testing.T) {
	target := s.Open(t)
	deleter, is := ability[content.Deleter](t, target, s.Abilities.Delete)
	if !is {
		return
	}
	image := NewImage("linux/amd64", NewLayer("delete", 100))
	other := NewImage("linux/amd64", NewLayer("keep", 100))
	for _, tag := range []string{"one", "two", "three"} {
		image.Push(t, target, tag)
	}
	other.Push(t, target, "other")
	if !s.Abilities.Delete {
		unable(t, deleter.Delete(t.Context(), "one"), content.ErrUnsupported)
		return
	}
	if err := deleter.Delete(t.Context(), "one"); err != nil {
		t.Fatalf("delete a tag: %v", err)
	}
	requireNothing(t, target, "one")
	s.requireImage(t, target, "two", image)
	if err := deleter.Delete(t.Context(), image.Digest().String()); err != nil {
		t.Fatalf("delete a digest: %v", err)
	}
	requireNothing(t, target, "two")
	requireNothing(t, target, "three")
	requireNothing(t, target, image.Digest().String())
	s.requireImage(t, target, "other", other)
	for _, gone := range []string{"one", "two", "never", image.Digest().String()} {
		if err := deleter.Delete(t.Context(), gone); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("delete %s, which is not there: got %v, want not found", gone, err)
		}
	}
	image.Push(t, target, "one")
	s.requireImage(t, target, "one", image)
}

func (s suite) reread(t *testing.T) {
	target := s.Open(t)
	rereader, is := ability[content.Rereader](t, target, s.Abilities.Reread)
	if got := is && rereader.Rereadable(); got != s.Abilities.Reread {
		t.Errorf("rereadable: got %v, want %v", got, s.Abilities.Reread)
	}
}

func (s suite) fetchTag(t *testing.T) {
	target := s.Open(t)
	fetcher, is := ability[content.TagFetcher](t, target, s.Abilities.FetchTag)
	if !is {
		return
	}
	if _, _, err := fetcher.FetchTag(t.Context(), "v1"); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("a tag that is not there: got %v, want %v", err, content.ErrNotFound)
	}
	for name, image := range Images() {
		image.Push(t, target, "v1")
		d, raw, err := fetcher.FetchTag(t.Context(), "v1")
		if err != nil || d.Digest != image.Digest() || d.Size != image.Descriptor().Size || !bytes.Equal(raw, image.Root.Bytes) {
			t.Errorf("%s: got %+v, %d bytes, %v", name, d, len(raw), err)
		}
	}
}
