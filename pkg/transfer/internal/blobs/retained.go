package blobs

const (
	// retainedSize is the size, in bytes, up to which the bytes of a blob stay in memory until the place has
	// them, so that an upload that is refused or cut costs no second read.
	retainedSize = 256 << 10
	// maxRetained bounds these bytes in a run. Beyond that, a blob is read again.
	maxRetained = 8 << 20
)

// retain reserves memory for the bytes of a want's blob, which is read from an offset on. It reports false if
// the blob is too large, if no memory is left, or if earlier bytes are not there. q.mu is held.
func retain(q *Queue, w *want, offset int64) bool {
	size := w.item.blob.Size
	switch {
	case offset > int64(len(w.retained)):
		return false
	case w.retained != nil:
		return true
	case size == 0 || size > retainedSize || q.retained+size > maxRetained:
		return false
	}
	q.retained += size
	w.retained = make([]byte, 0, size)
	return true
}

// discardRetained frees the bytes that a want retains. q.mu is held, and the want is not running.
func discardRetained(q *Queue, w *want) {
	if w.retained != nil {
		q.retained -= w.item.blob.Size
		w.retained = nil
	}
}

// retainingReader reads a small blob: first the bytes that earlier attempts of the want have read, then the rest
// from its origins.
type retainingReader struct {
	*reader
	next int64 // the offset of the next byte
}

var _ reading = (*retainingReader)(nil)

func (r *retainingReader) Read(p []byte) (int, error) {
	w := r.want
	if r.next < int64(len(w.retained)) {
		n := copy(p, w.retained[r.next:])
		r.next += int64(n)
		return n, nil
	}
	n, err := r.reader.Read(p)
	if room := cap(w.retained) - len(w.retained); n <= room { // else the source yields more than the blob has
		w.retained = append(w.retained, p[:n]...)
	}
	r.next += int64(n)
	return n, err
}

// corrupt also discards the retained bytes, because they are wrong.
func (r *retainingReader) corrupt(err error) error {
	r.want.retained = r.want.retained[:0]
	return r.reader.corrupt(err)
}
