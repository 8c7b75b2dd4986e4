package content

import (
	"io"

	"github.com/opencontainers/go-digest"
)

// Verifier passes content through and checks it on the way. The io.EOF of the content is
// passed on only when size and digest agree; otherwise a [MismatchError] takes its place.
// More than the stated size is never passed on.
type Verifier struct {
	want   Descriptor
	source io.Reader
	digest digest.Digester
	read   int64
	err    error
}

// NewVerifier checks what r yields against d, which has passed [CheckDescriptor]. It holds
// no resources.
func NewVerifier(r io.Reader, d Descriptor) *Verifier {
	return &Verifier{want: d, source: r, digest: d.Digest.Algorithm().Digester()}
}

// Read implements io.Reader.
func (v *Verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.source.Read(p)
	if over := v.read + int64(n) - v.want.Size; over > 0 {
		v.err = &MismatchError{Want: v.want, GotSize: v.want.Size + over}
		return 0, v.err
	}
	v.read += int64(n)
	_, _ = v.digest.Hash().Write(p[:n])
	switch err {
	case nil:
	case io.EOF, io.ErrUnexpectedEOF: //nolint:errorlint // what wraps one is a broken connection
		v.err = v.verdict()
		return n, v.err
	default:
		v.err = err
	}
	return n, v.err
}

func (v *Verifier) verdict() error {
	if v.read < v.want.Size {
		return &MismatchError{Want: v.want, GotSize: v.read}
	}
	if got := v.digest.Digest(); got != v.want.Digest {
		return &MismatchError{Want: v.want, GotSize: v.read, GotDigest: got}
	}
	return io.EOF
}

// VerifyBytes checks raw against d, which has passed [CheckDescriptor], taking a size of zero as unknown.
func VerifyBytes(raw []byte, d Descriptor) error {
	got := d.Digest.Algorithm().FromBytes(raw)
	if got != d.Digest || d.Size > 0 && int64(len(raw)) != d.Size {
		return &MismatchError{Want: d, GotSize: int64(len(raw)), GotDigest: got}
	}
	return nil
}
