package registry

import (
	"cmp"
	"fmt"
	"math"
	"sync"

	"github.com/regsync/regsync/pkg/content"
)

// Parts of a blob have at most largestPart bytes, or a fourth of it as often as needed, down to smallestPart.
const (
	largestPart  = 64 << 20
	smallestPart = 1 << 20
)

// sizes are how large the body of a request to a host may be, as far as the host has told by refusals.
// Zero is without a limit.
type sizes struct {
	mu     sync.Mutex
	all    int64 // of any request
	ranged int64 // of a request with Content-Range
}

// next is the size of the next body of an upload that has offset bytes, and lacks rest.
func (s *sizes) next(offset, rest int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := cmp.Or(s.all, math.MaxInt64)
	part := min(all, cmp.Or(s.ranged, math.MaxInt64))
	if offset == 0 && rest <= all {
		return rest // without Content-Range
	}
	return min(rest, part)
}

// refused learns that a body of a size was refused, and returns how large one may be now; zero if
// smaller ones are not tried.
func (s *sizes) refused(size int64, ranged bool) int64 {
	part := partBelow(size)
	if part == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := &s.all
	if ranged {
		limit = &s.ranged
	}
	*limit = min(cmp.Or(*limit, part), part)
	return *limit
}

// partBelow is the largest part that is smaller than a size; zero if there is none.
func partBelow(size int64) int64 {
	for part := int64(largestPart); part >= smallestPart; part /= 4 {
		if part < size {
			return part
		}
	}
	return 0
}

// SizeError says that a registry, or a proxy before it, refuses a request for its size. It is a
// [content.ErrTooLarge] unless Next is zero.
type SizeError struct {
	Registry string
	// Size is how many bytes the body of the refused request has.
	Size int64
	// Next is how many bytes a request of the next attempt has at most; zero if smaller ones are not tried.
	Next int64
	// Err is what was answered: a 413, or a 416 although the upload has as many bytes as the request says.
	Err error
}

func (e *SizeError) Error() string {
	next := fmt.Sprintf("parts of less than %d bytes are not tried", int64(smallestPart))
	if e.Next > 0 {
		next = fmt.Sprintf("parts of at most %d bytes come next", e.Next)
	}
	return fmt.Sprintf("%s, or a proxy before it, refuses a request of %d bytes; %s: %v", e.Registry, e.Size, next, e.Err)
}

// Is makes it a [content.ErrTooLarge] if another attempt sends less at a time.
func (e *SizeError) Is(target error) bool { return target == content.ErrTooLarge && e.Next > 0 }

// Unwrap gives the answer.
func (e *SizeError) Unwrap() error { return e.Err }
