package content_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

const heldBack = content.HeldBack

var streamSizes = []int{0, 1, heldBack - 1, heldBack, heldBack + 1, 1 << 20}

var algorithms = []digest.Algorithm{digest.SHA256, digest.SHA512}

// streamed is a blob of size bytes with a digest of the given algorithm.
func streamed(algorithm digest.Algorithm, size int) contenttest.Blob {
	blob := contenttest.NewLayer("stream", size)
	blob.Descriptor.Digest = algorithm.FromBytes(blob.Bytes)
	return blob
}

// changed is raw with another byte at an offset.
func changed(raw []byte, at int) []byte {
	raw = bytes.Clone(raw)
	raw[at] ^= 1
	return raw
}

// drain reads s to its end, at most piece bytes at a time, and checks after each read what
// holds for every stream: nothing of the held back bytes before all is verified, Offset tells
// what was handed out, the end stays the same.
func drain(t *testing.T, s *content.Stream, piece int) ([]byte, error) {
	t.Helper()
	start, size := s.Offset(), s.Descriptor().Size
	var got []byte
	for p := make([]byte, piece); ; {
		n, err := s.Read(p)
		got = append(got, p[:n]...)
		if n > 0 && s.Offset() > size-heldBack && s.Hashed() != size {
			t.Fatalf("%d of %d bytes were handed out when %d were hashed", s.Offset(), size, s.Hashed())
		}
		if at := start + int64(len(got)); s.Offset() != at || s.Hashed() < at || s.Hashed() > size {
			t.Fatalf("got offset %d and %d bytes hashed after %d of %d", s.Offset(), s.Hashed(), at, size)
		}
		if err == nil {
			continue
		}
		if m, again := s.Read(p); m != 0 || again != err { //nolint:errorlint // the very same
			t.Errorf("read after the end: got %d bytes and %v, want %v", m, again, err)
		}
		if err == io.EOF { //nolint:errorlint // the very same
			err = nil
		} else if s.Offset() > max(start, size-heldBack) {
			t.Errorf("%d of %d bytes were handed out before %v", s.Offset(), size, err)
		}
		if s.Err() != err { //nolint:errorlint // the very same
			t.Errorf("Err: got %v, want %v", s.Err(), err)
		}
		return got, err
	}
}

var splits = map[string]func(io.Reader) io.Reader{
	"whole":        func(r io.Reader) io.Reader { return r },
	"byte by byte": iotest.OneByteReader,
	"half":         iotest.HalfReader,
	"EOF at once":  iotest.DataErrReader,
}

func TestStream(t *testing.T) {
	broken := errors.New("broken")
	cut := fmt.Errorf("reset: %w", io.EOF)
	cutInside := fmt.Errorf("reset: %w", io.ErrUnexpectedEOF)
	for _, algorithm := range algorithms {
		for _, size := range streamSizes {
			blob := streamed(algorithm, size)
			type test struct {
				name   string
				source io.Reader
				want   error // a *MismatchError without Want
			}
			after := func(n int, err error) io.Reader {
				return io.MultiReader(bytes.NewReader(blob.Bytes[:n]), iotest.ErrReader(err))
			}
			mismatch := func(n int, raw []byte) error {
				m := &content.MismatchError{GotSize: int64(n)}
				if raw != nil {
					m.GotDigest = algorithm.FromBytes(raw)
				}
				return m
			}
			tests := []test{
				{"right", bytes.NewReader(blob.Bytes), nil},
				{"right, and cut", after(size, io.ErrUnexpectedEOF), nil},
				{"long", bytes.NewReader(append(bytes.Clone(blob.Bytes), 1)), mismatch(size+1, nil)},
				{"very long", io.MultiReader(bytes.NewReader(blob.Bytes), bytes.NewReader(make([]byte, 100_000))), mismatch(size+1, nil)},
				{"broken at the end", after(size, broken), broken},
				{"wrapped EOF at the end", after(size, cut), cut},
				{"wrapped EOF inside", after(size/2, cutInside), cutInside},
				{"broken at the beginning", after(0, broken), broken},
			}
			if size > 0 {
				first, last := changed(blob.Bytes, 0), changed(blob.Bytes, size-1)
				tests = append(tests,
					test{"first byte wrong", bytes.NewReader(first), mismatch(size, first)},
					test{"last byte wrong", bytes.NewReader(last), mismatch(size, last)},
					test{"empty", bytes.NewReader(nil), mismatch(0, nil)},
					test{"one byte short", bytes.NewReader(blob.Bytes[:size-1]), mismatch(size-1, nil)},
					test{"half", bytes.NewReader(blob.Bytes[:size/2]), mismatch(size/2, nil)},
					test{"cut in HTTP", after(size-1, io.ErrUnexpectedEOF), mismatch(size-1, nil)},
					test{"broken before the end", after(size-1, broken), broken},
				)
			}
			for _, test := range tests {
				var source bytes.Buffer
				var failure error
				if _, err := io.Copy(&source, test.source); err != nil {
					failure = err
				}
				for how, split := range splits {
					for _, piece := range []int{1, 1000, 64 << 10} {
						bytewise := piece == 1 || how == "byte by byte"
						if bytewise && size > 1 && (algorithm != digest.SHA256 || size > 100_000 || piece == 1 && how != "whole") {
							continue // slow, and no other case than those that are left
						}
						t.Run(fmt.Sprintf("%s/%d/%s/%s/%d", algorithm, size, test.name, how, piece), func(t *testing.T) {
							r := io.Reader(bytes.NewReader(source.Bytes()))
							if failure != nil {
								r = io.MultiReader(r, iotest.ErrReader(failure))
							}
							got, err := drain(t, content.NewStream(split(r), blob.Descriptor), piece)
							if !bytes.Equal(got, source.Bytes()[:len(got)]) {
								t.Error("got other bytes than the source's")
							}
							requireEnd(t, err, test.want, blob)
							if test.want == nil && len(got) != size {
								t.Errorf("got %d bytes, want %d", len(got), size)
							}
						})
					}
				}
			}
		}
	}
}

// requireEnd compares the end of a stream with want, which may be a MismatchError without Want.
func requireEnd(t *testing.T, err, want error, blob contenttest.Blob) {
	t.Helper()
	mismatch, is := errors.AsType[*content.MismatchError](want)
	if !is {
		if err != want { //nolint:errorlint // the very same, not wrapped
			t.Errorf("got %v, want %v", err, want)
		}
		return
	}
	got, is := errors.AsType[*content.MismatchError](err)
	if !is || !errors.Is(err, content.ErrMismatch) {
		t.Fatalf("got %v, want a mismatch", err)
	}
	if got.GotSize != mismatch.GotSize || got.GotDigest != mismatch.GotDigest || got.Want.Digest != blob.Descriptor.Digest {
		t.Errorf("got %+v, want %+v", got, mismatch)
	}
	if short := mismatch.GotSize < blob.Descriptor.Size; got.Short() != short {
		t.Errorf("short: got %v, want %v", got.Short(), short)
	}
}

func TestStreamIsAReader(t *testing.T) {
	for _, size := range streamSizes {
		blob := streamed(digest.SHA256, size)
		if err := iotest.TestReader(blob.Stream(), blob.Bytes); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if n, err := blob.Stream().Read(nil); n != 0 || err != nil {
			t.Errorf("%d bytes: read of nothing: got %d and %v", size, n, err)
		}
	}
}

// Bytes are read where they are wanted, and only those that are held back are copied.
func TestStreamReadsIntoTheBuffer(t *testing.T) {
	blob := streamed(digest.SHA256, 1<<20)
	raw := bytes.NewReader(blob.Bytes)
	p := make([]byte, 50_000)
	elsewhere := 0
	s := content.NewStream(readerFunc(func(q []byte) (int, error) {
		n, err := raw.Read(q)
		if &q[0] != &p[0] {
			elsewhere += n
		}
		return n, err
	}), blob.Descriptor)
	for {
		if _, err := s.Read(p); err != nil {
			break
		}
	}
	if s.Err() != nil || elsewhere != heldBack {
		t.Errorf("got %v, and %d bytes read elsewhere, want %d", s.Err(), elsewhere, heldBack)
	}
}

func TestStreamAllocatesOneBuffer(t *testing.T) {
	for _, size := range []int{100, 1 << 20} {
		blob := streamed(digest.SHA256, size)
		p := make([]byte, 64<<10)
		const runs = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := testing.AllocsPerRun(runs-1, func() { readAllInto(t, blob, p) })
		runtime.ReadMemStats(&after)
		held := uint64(min(size, heldBack))
		if allocated := (after.TotalAlloc - before.TotalAlloc) / runs; allocated > held+2048 || n > 20 {
			t.Errorf("%d bytes: allocated %d bytes in %v pieces, want about %d in 10", size, allocated, n, held)
		}
	}
}

func readAllInto(t testing.TB, blob contenttest.Blob, p []byte) {
	t.Helper()
	for s := blob.Stream(); ; {
		if _, err := s.Read(p); err == io.EOF { //nolint:errorlint // the very same
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	for _, size := range []int{1000, 16 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			blob := streamed(digest.SHA256, size)
			p := make([]byte, 128<<10)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				readAllInto(b, blob, p)
			}
		})
	}
}

// checkpoint is the state of a stream that has handed out at bytes, and what it has hashed.
func checkpoint(t *testing.T, blob contenttest.Blob, at int) (state []byte, hashed int64) {
	t.Helper()
	s := blob.Stream()
	if _, err := io.CopyN(io.Discard, s, int64(at)); err != nil {
		t.Fatal(err)
	}
	state, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return state, s.Hashed()
}

func TestResumeStream(t *testing.T) {
	for _, algorithm := range algorithms {
		for _, size := range streamSizes {
			blob := streamed(algorithm, size)
			for _, at := range []int{0, 1, 63, 64, 65, 127, 128, 129, size / 2, size - heldBack - 1, size - heldBack, size - heldBack + 1, size - 1, size} {
				if at < 0 || at > size {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d/%d", algorithm, size, at), func(t *testing.T) {
					state, hashed := checkpoint(t, blob, at)
					// Bytes are hashed ahead only when all of them are.
					if hashed != int64(at) && (hashed != int64(size) || at <= size-heldBack) {
						t.Fatalf("got %d bytes hashed", hashed)
					}
					rest := blob.Bytes[hashed:]
					resumed := func(rest []byte) ([]byte, error) {
						s, err := content.ResumeStream(bytes.NewReader(rest), blob.Descriptor, state)
						if err != nil {
							t.Fatal(err)
						}
						if s.Offset() != hashed || s.Hashed() != hashed {
							t.Errorf("resumed at %d, hashed %d, want %d", s.Offset(), s.Hashed(), hashed)
						}
						return drain(t, s, 10_000)
					}
					if got, err := resumed(rest); err != nil || !bytes.Equal(got, rest) {
						t.Errorf("got %d bytes and %v, want %d", len(got), err, len(rest))
					}
					if _, err := resumed(append(bytes.Clone(rest), 1)); !errors.Is(err, content.ErrMismatch) {
						t.Errorf("long: got %v, want a mismatch", err)
					}
					if len(rest) == 0 {
						return
					}
					for _, wrong := range [][]byte{changed(rest, 0), changed(rest, len(rest)-1), rest[1:], rest[:len(rest)-1]} {
						if got, err := resumed(wrong); !errors.Is(err, content.ErrMismatch) || len(got) > max(0, len(rest)-heldBack) {
							t.Errorf("wrong bytes: got %d bytes and %v, want a mismatch", len(got), err)
						}
					}
				})
			}
		}
	}
}

// A source that breaks within the bytes that are held back leaves a state of the others: a
// destination has no more than that.
func TestCheckpointAfterABreak(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range streamSizes[1:] {
		blob := streamed(digest.SHA256, size)
		for _, cut := range []int{0, size / 2, size - 1, size} {
			s := content.NewStream(io.MultiReader(bytes.NewReader(blob.Bytes[:cut]), iotest.ErrReader(broken)), blob.Descriptor)
			if _, err := io.Copy(io.Discard, s); err != broken { //nolint:errorlint // the very same
				t.Fatalf("%d of %d: got %v", cut, size, err)
			}
			if s.Offset() != s.Hashed() {
				t.Errorf("%d of %d: %d bytes handed out, %d hashed", cut, size, s.Offset(), s.Hashed())
			}
			state, err := s.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			resumed, err := content.ResumeStream(bytes.NewReader(blob.Bytes[s.Offset():]), blob.Descriptor, state)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := drain(t, resumed, 5000); err != nil || !bytes.Equal(got, blob.Bytes[s.Offset():]) {
				t.Errorf("%d of %d: got %d bytes and %v", cut, size, len(got), err)
			}
		}
	}
}

// Checkpoints are taken from the source's Read: a destination reads a stream on its own.
func TestCheckpointWithinARead(t *testing.T) {
	blob := streamed(digest.SHA256, 200_000)
	raw := bytes.NewReader(blob.Bytes)
	states := map[int64][]byte{}
	var s *content.Stream
	s = content.NewStream(readerFunc(func(p []byte) (int, error) {
		state, err := s.MarshalBinary()
		if err != nil {
			t.Error(err)
		}
		states[s.Hashed()] = state
		return raw.Read(p[:min(len(p), 7000)])
	}), blob.Descriptor)
	if _, err := drain(t, s, 64<<10); err != nil {
		t.Fatal(err)
	}
	if len(states) != 1+(200_000-heldBack)/7000+1 {
		t.Errorf("got %d states", len(states))
	}
	for at, state := range states {
		resumed, err := content.ResumeStream(bytes.NewReader(blob.Bytes[at:]), blob.Descriptor, state)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := drain(t, resumed, 64<<10); err != nil || int64(len(got)) != 200_000-at {
			t.Errorf("from %d: got %d bytes and %v", at, len(got), err)
		}
	}
}

func TestMalformedCheckpoint(t *testing.T) {
	blob := streamed(digest.SHA256, 100_000)
	state, _ := checkpoint(t, blob, 50_000)
	smaller := blob.Descriptor
	smaller.Size = 49_999
	for name, test := range map[string]struct {
		d     content.Descriptor
		state []byte
	}{
		"none":              {blob.Descriptor, nil},
		"too short":         {blob.Descriptor, state[:7]},
		"offset only":       {blob.Descriptor, state[:8]},
		"cut":               {blob.Descriptor, state[:len(state)-1]},
		"long":              {blob.Descriptor, append(bytes.Clone(state), 0)},
		"another hash":      {blob.Descriptor, changed(state, 8)},
		"negative offset":   {blob.Descriptor, changed(append([]byte{0xff}, state[1:]...), 1)},
		"a smaller blob":    {smaller, state},
		"another algorithm": {streamed(digest.SHA512, 100_000).Descriptor, state},
	} {
		if s, err := content.ResumeStream(bytes.NewReader(nil), test.d, test.state); s != nil || !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}

func TestCheckStream(t *testing.T) {
	blob := streamed(digest.SHA256, 100_000)
	longer := blob.Descriptor
	longer.Size++
	moved := blob.Stream()
	if _, err := io.CopyN(io.Discard, moved, 100); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		stream *content.Stream
		d      content.Descriptor
		offset int64
		want   error
	}{
		"whole":           {blob.Stream(), blob.Descriptor, 0, nil},
		"continued":       {moved, blob.Descriptor, 100, nil},
		"half read":       {moved, blob.Descriptor, 0, content.ErrInvalid},
		"not there yet":   {blob.Stream(), blob.Descriptor, 100, content.ErrInvalid},
		"another blob":    {contenttest.NewLayer("other", 100_000).Stream(), blob.Descriptor, 0, content.ErrInvalid},
		"of another size": {blob.Stream(), longer, 0, content.ErrInvalid},
	} {
		if err := content.CheckStream(test.stream, test.d, test.offset); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

// Whatever a state says, what ends with io.EOF is a blob whose rest fits the state, and no
// more than the stated size comes out.
func FuzzResumeStream(f *testing.F) {
	blob := streamed(digest.SHA256, 70_000)
	for _, at := range []int{0, 1, 70_000 - heldBack, 70_000} {
		s := blob.Stream()
		_, _ = io.CopyN(io.Discard, s, int64(at))
		state, err := s.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(state)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, state []byte) {
		probe, err := content.ResumeStream(bytes.NewReader(nil), blob.Descriptor, state)
		if err != nil {
			if !errors.Is(err, content.ErrInvalid) {
				t.Errorf("got %v, want invalid", err)
			}
			return
		}
		rest := blob.Bytes[probe.Offset():]
		s, _ := content.ResumeStream(bytes.NewReader(rest), blob.Descriptor, state)
		got, err := drain(t, s, 10_000)
		if !bytes.Equal(got, rest[:len(got)]) || err == nil && len(got) != len(rest) {
			t.Errorf("got %d of %d bytes and %v", len(got), len(rest), err)
		}
		if err != nil && !errors.Is(err, content.ErrMismatch) {
			t.Errorf("got %v, want a mismatch", err)
		}
	})
}

// A source and a destination that read as they like, a source that may be wrong somewhere,
// and a checkpoint anywhere.
func FuzzStream(f *testing.F) {
	f.Add(uint64(1), uint32(0), int32(-1), int32(0))
	f.Add(uint64(2), uint32(heldBack), int32(-1), int32(100))
	f.Add(uint64(3), uint32(heldBack+1), int32(0), int32(1))
	f.Add(uint64(4), uint32(200_000), int32(199_999), int32(180_000))
	f.Add(uint64(5), uint32(200_000), int32(-1), int32(100_000))
	f.Fuzz(func(t *testing.T, seed uint64, size uint32, wrong, at int32) {
		blob := streamed(digest.SHA256, int(size%300_000))
		sent, right := blob.Bytes, true
		if wrong >= 0 && int(wrong) < len(sent) {
			sent, right = changed(sent, int(wrong)), false
		}
		random := rand.New(rand.NewPCG(seed, 1))
		source := func(from int64) io.Reader {
			raw := bytes.NewReader(sent[from:])
			return readerFunc(func(p []byte) (int, error) { return raw.Read(p[:random.IntN(len(p)+1)]) })
		}
		s := content.NewStream(source(0), blob.Descriptor)
		if at > 0 && int(at) < len(sent) {
			_, err := io.CopyN(io.Discard, s, int64(at))
			if err == nil {
				state, err := s.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				if s, err = content.ResumeStream(source(s.Hashed()), blob.Descriptor, state); err != nil {
					t.Fatal(err)
				}
			} else if right {
				t.Fatal(err)
			}
		}
		from := s.Offset()
		got, err := drain(t, s, 1+random.IntN(70_000))
		if !bytes.Equal(got, sent[from:from+int64(len(got))]) {
			t.Error("got other bytes than the source's")
		}
		if right != (err == nil) || right && from+int64(len(got)) != int64(len(sent)) {
			t.Errorf("got %d bytes from %d and %v, want right: %v", len(got), from, err, right)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
