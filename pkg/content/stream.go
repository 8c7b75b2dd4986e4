package content

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// HeldBack is how many bytes at the end of a blob a [Stream] holds back until it has verified
// the size and the digest of the whole blob.
const HeldBack = 32 << 10

// Stream verifies a blob on its way from a source to a destination. It is the only place that
// hashes the bytes.
//
// A Stream reads its source in order and hashes every byte once. It holds back the last
// [HeldBack] bytes until the source has ended and size and digest are right, and only then
// ends with io.EOF. Otherwise it discards those bytes and ends with one of these errors:
//
//   - a [MismatchError] if the source ends early, with io.EOF or io.ErrUnexpectedEOF, yields
//     more than the stated size, or has another digest;
//   - the source's own error. One that merely wraps io.EOF is a broken connection, not an end.
//
// The error is the same for every Read after the first that returned it, until [Stream.Continue].
//
// Offset and Hashed may be called concurrently; all other methods by one goroutine at a time.
// A Stream does not close its source.
type Stream struct {
	want   Descriptor
	source io.Reader
	hash   hash.Hash
	tail   []byte // verified, not returned yet
	end    error  // returned when the tail is empty

	hashed, offset atomic.Int64
	verified       atomic.Pointer[States] // of the Stream that verifies the bytes; nil if this one does
}

var (
	_ io.Reader                = (*Stream)(nil)
	_ encoding.BinaryMarshaler = (*Stream)(nil)
)

// NewStream reads the blob d from r, which yields it from its first byte. d has passed
// [CheckDescriptor].
func NewStream(r io.Reader, d Descriptor) *Stream {
	return &Stream{want: d, source: r, hash: d.Digest.Algorithm().Hash()}
}

// VerifiedStream passes on the blob d, which another Stream verifies on its way to r: r yields the last [HeldBack] bytes
// only if all are right. The bytes are not hashed again; checkpoints are those of the other Stream, from states. After
// [Stream.Continue], the Stream hashes and verifies like any other.
func VerifiedStream(r io.Reader, d Descriptor, states *States) *Stream {
	s := NewStream(r, d)
	if d.Size > 0 {
		s.verified.Store(states)
	}
	return s
}

// ResumeStream continues a Stream of d whose state [Stream.MarshalBinary] gave, also in a
// later process. r yields the blob from the offset that Hashed gave at that moment, and so
// does the Stream: its Offset and Hashed begin there, and its io.EOF says that the whole
// blob is right, the bytes of the earlier Stream included. d has passed [CheckDescriptor].
// The error is an [ErrInvalid] where state is not one of a blob of this size and algorithm.
func ResumeStream(r io.Reader, d Descriptor, state []byte) (*Stream, error) {
	s := NewStream(r, d)
	if len(state) < stateHeader {
		return nil, fmt.Errorf("checkpoint of blob %s: %w: %d bytes", d.Digest, ErrInvalid, len(state))
	}
	hashed := binary.BigEndian.Uint64(state)
	if hashed > uint64(d.Size) {
		return nil, fmt.Errorf("checkpoint of blob %s: %w: %d of %d bytes", d.Digest, ErrInvalid, hashed, d.Size)
	}
	unmarshaler, is := s.hash.(encoding.BinaryUnmarshaler)
	if !is {
		return nil, fmt.Errorf("checkpoint of blob %s: %w: %s has none", d.Digest, ErrInvalid, d.Digest.Algorithm())
	}
	if err := unmarshaler.UnmarshalBinary(state[stateHeader:]); err != nil {
		return nil, fmt.Errorf("checkpoint of blob %s: %w: %w", d.Digest, ErrInvalid, err)
	}
	s.hashed.Store(int64(hashed))
	s.offset.Store(int64(hashed))
	return s, nil
}

// Continue gives a Stream whose source broke, or was given up, another source, which yields the blob from
// offset on. So does the Stream. Bytes before Hashed are passed on without being hashed again: the place
// that got them twice verifies the whole blob ([ResumableUpload]). The error is an [ErrInvalid] if offset
// is beyond Hashed, or if the bytes before were wrong.
func (s *Stream) Continue(r io.Reader, offset int64) error {
	if offset < 0 || offset > s.Hashed() {
		return fmt.Errorf("continue blob %s at byte %d: %w: %d bytes are verified", s.want.Digest, offset, ErrInvalid, s.Hashed())
	}
	if err := s.startHashing(); err != nil {
		return err
	}
	if _, wrong := s.end.(*MismatchError); wrong { //nolint:errorlint // the Stream's own
		return fmt.Errorf("continue blob %s: %w: %w", s.want.Digest, ErrInvalid, s.end)
	}
	s.source, s.tail, s.end = r, nil, nil
	s.offset.Store(offset)
	return nil
}

// startHashing makes a Stream whose bytes were verified by another one hash from the last state on.
func (s *Stream) startHashing() error {
	states := s.verified.Load()
	if states == nil {
		return nil
	}
	if state, hashed := states.at(s.Offset()); hashed > 0 {
		resumed, err := ResumeStream(nil, s.want, state)
		if err != nil {
			return err
		}
		s.hash = resumed.hash
		s.hashed.Store(hashed)
	}
	s.verified.Store(nil)
	return nil
}

// stateHeader is the size of the offset at the beginning of a checkpoint.
const stateHeader = 8

// MarshalBinary implements encoding.BinaryMarshaler: it is the state for [ResumeStream],
// about 120 bytes for sha256 and 220 for sha512. The caller keeps Hashed beside it, to open
// the source there. The source's Read may call it: no byte of that Read is in the state. The
// state after a [MismatchError] is of no use.
func (s *Stream) MarshalBinary() ([]byte, error) {
	if states := s.verified.Load(); states != nil {
		if state, _ := states.at(s.Offset()); state != nil {
			return state, nil
		}
		return nil, fmt.Errorf("checkpoint of blob %s: %w: there is none yet", s.want.Digest, ErrUnsupported)
	}
	marshaler, is := s.hash.(encoding.BinaryMarshaler)
	if !is {
		return nil, fmt.Errorf("checkpoint of blob %s: %w: %s has none", s.want.Digest, ErrUnsupported, s.want.Digest.Algorithm())
	}
	inner, err := marshaler.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("checkpoint of blob %s: %w", s.want.Digest, err)
	}
	state := binary.BigEndian.AppendUint64(make([]byte, 0, stateHeader+len(inner)), uint64(s.hashed.Load()))
	return append(state, inner...), nil
}

// Descriptor is what the bytes are compared with.
func (s *Stream) Descriptor() Descriptor { return s.want }

// Offset is the position in the blob of the next byte that Read returns.
func (s *Stream) Offset() int64 { return s.offset.Load() }

// Hashed is how many bytes of the blob are hashed. The bytes that are kept are hashed at
// once, when all of them are there. So it is equal to Offset, but for the time in which the
// last bytes are handed out: all are hashed then, and a checkpoint taken then resumes at the
// end of the blob.
func (s *Stream) Hashed() int64 {
	if states := s.verified.Load(); states != nil {
		_, hashed := states.at(s.Offset())
		return hashed
	}
	return s.hashed.Load()
}

// Err is why the Stream ended early. It is nil before the end, and where that is io.EOF.
func (s *Stream) Err() error {
	if s.end == io.EOF { //nolint:errorlint // what wraps one is a broken connection
		return nil
	}
	return s.end
}

// Read implements io.Reader. The bytes before those that are kept are read into p directly.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.verified.Load() != nil {
		return s.passVerified(p)
	}
	if again := s.Hashed() - s.Offset(); s.end == nil && again > 0 {
		n, err := s.source.Read(p[:min(int64(len(p)), again)])
		s.offset.Add(int64(n))
		if s.end = err; s.Offset() < s.want.Size {
			s.end = s.tooShort(s.Offset(), err)
		}
		return n, s.end
	}
	if s.end == nil {
		if free := s.want.Size - HeldBack - s.hashed.Load(); free > 0 {
			return s.pass(p[:min(int64(len(p)), free)])
		}
		s.tail, s.end = s.readTail(p[:1])
	}
	if len(s.tail) == 0 {
		return 0, s.end
	}
	n := copy(p, s.tail)
	if s.tail = s.tail[n:]; len(s.tail) == 0 {
		s.tail = nil // the Stream may live longer than its last byte
	}
	s.offset.Add(int64(n))
	return n, nil
}

// passVerified reads bytes that another Stream verifies.
func (s *Stream) passVerified(p []byte) (int, error) {
	if s.end != nil {
		return 0, s.end
	}
	n, err := s.source.Read(p[:min(int64(len(p)), s.want.Size-s.Offset())])
	if s.offset.Add(int64(n)) == s.want.Size {
		s.end = io.EOF
		return n, nil
	}
	s.end = s.tooShort(s.Offset(), err)
	return n, s.end
}

// pass reads bytes before those that are kept.
func (s *Stream) pass(p []byte) (int, error) {
	n, err := s.source.Read(p)
	s.add(p[:n])
	s.offset.Add(int64(n))
	s.end = s.tooShort(s.Hashed(), err)
	return n, s.end
}

// readTail reads the bytes that are kept and the end of the source, and returns them with
// io.EOF if the blob is right. Until then they are not hashed, so that a checkpoint taken
// after an error of the source has no bytes that were not passed on. scratch is one byte.
func (s *Stream) readTail(scratch []byte) ([]byte, error) {
	tail := make([]byte, s.want.Size-s.Hashed())
	n, err := io.ReadFull(s.source, tail)
	if err != nil {
		return nil, s.tooShort(s.Hashed()+int64(n), err)
	}
	n, err = io.ReadFull(s.source, scratch)
	if n > 0 {
		return nil, &MismatchError{Want: s.want, GotSize: s.want.Size + 1}
	}
	if !isEnd(err) {
		return nil, err
	}
	s.add(tail)
	if got := digest.NewDigest(s.want.Digest.Algorithm(), s.hash); got != s.want.Digest {
		return nil, &MismatchError{Want: s.want, GotSize: s.want.Size, GotDigest: got}
	}
	return tail, io.EOF
}

func (s *Stream) add(p []byte) {
	_, _ = s.hash.Write(p) // never returns an error
	s.hashed.Add(int64(len(p)))
}

// tooShort is err, or a MismatchError where err is the end of a source that yielded got
// bytes, fewer than stated.
func (s *Stream) tooShort(got int64, err error) error {
	if isEnd(err) {
		return &MismatchError{Want: s.want, GotSize: got}
	}
	return err
}

// isEnd reports whether err is the end of a source; a body that ends early in HTTP gives
// io.ErrUnexpectedEOF. What wraps one of them is a broken connection.
func isEnd(err error) bool {
	return err == io.EOF || err == io.ErrUnexpectedEOF //nolint:errorlint // see above
}

// CheckStream refuses a Stream that must not end up as the blob d, continued at offset: one of
// another blob, or one whose next byte is at another offset. The error is an [ErrInvalid]. Every
// implementation of [Upload] calls it, since it does not look at the bytes themselves.
func CheckStream(s *Stream, d Descriptor, offset int64) error {
	if s.want.Digest != d.Digest || s.want.Size != d.Size {
		return fmt.Errorf("upload of blob %s, %d bytes: %w: a stream of %s, %d bytes", d.Digest, d.Size, ErrInvalid, s.want.Digest, s.want.Size)
	}
	if at := s.Offset(); at != offset {
		return fmt.Errorf("upload of blob %s from byte %d: %w: a stream at byte %d", d.Digest, offset, ErrInvalid, at)
	}
	return nil
}

// stateEvery is the distance, in bytes, of the states in [States].
const stateEvery = 1 << 20

// States are checkpoints of a [Stream], for other Streams that pass on the same bytes without hashing them again
// ([VerifiedStream]). They may be used concurrently.
type States struct {
	mu   sync.Mutex
	last int64    // the offset of the last one
	all  [][]byte // in the order of their offsets
}

// Keep keeps the state of s, if enough bytes were hashed since the last one.
func (c *States) Keep(s *Stream) {
	hashed := s.Hashed()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) > 0 && hashed-c.last < stateEvery {
		return
	}
	if state, err := s.MarshalBinary(); err == nil {
		c.all, c.last = append(c.all, state), hashed
	}
}

// at returns the last state that is not beyond an offset, and how many bytes it has hashed; nil and 0 if there is none.
func (c *States) at(offset int64) (state []byte, hashed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.all), func(i int) bool { return hashedBy(c.all[i]) > offset })
	if i == 0 {
		return nil, 0
	}
	return c.all[i-1], hashedBy(c.all[i-1])
}

// hashedBy is how many bytes a state has hashed.
func hashedBy(state []byte) int64 { return int64(binary.BigEndian.Uint64(state)) }
