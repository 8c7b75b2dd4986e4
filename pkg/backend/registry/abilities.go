package registry

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// Parts of a blob have at most largestPart bytes, or a fourth of it as often as needed, down to smallestPart.
const (
	largestPart  = 64 << 20
	smallestPart = 1 << 20
)

// abilityLife is how long a process believes what it has learned of a registry's uploads.
const abilityLife = 24 * time.Hour

// The names and the words under which abilities are remembered between runs; a size is "<=N".
const (
	abilityPut    = "put"    // how large the body of any request may be
	abilityChunk  = "chunk"  // how large that of a request with Content-Range may be
	abilityCancel = "cancel" // whether a session can be removed
	seenOK        = "ok"
	seenDenied    = "denied"
)

// uploading is how a registry takes uploads, as far as it has told by refusals, in this run or an earlier one.
type uploading struct {
	registry string
	memory   Abilities // may be nil
	recalled sync.Once

	mu     sync.Mutex // guards all below
	put    sizeLimit
	chunk  sizeLimit
	cancel string // seenOK, seenDenied, or empty
	asked  time.Time
}

// sizeLimit is the largest body, in bytes, that a registry takes; zero is without a limit.
type sizeLimit struct {
	most      int64
	at        time.Time // when it was learned
	confirmed bool      // a body of that size was taken
}

// value is the limit, as long as it is believed.
func (l sizeLimit) value() int64 {
	if l.most == 0 || time.Since(l.at) > abilityLife {
		return math.MaxInt64
	}
	return l.most
}

// recall reads what earlier runs remembered.
func (u *uploading) recall() {
	u.recalled.Do(func() {
		if u.memory == nil {
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		for ability, limit := range map[string]*sizeLimit{abilityPut: &u.put, abilityChunk: &u.chunk} {
			seen, _ := u.memory.Ability(u.registry, ability)
			digits, _ := strings.CutPrefix(seen, "<=")
			if most, err := strconv.ParseInt(digits, 10, 64); err == nil && most >= smallestPart {
				*limit = sizeLimit{most, time.Now(), true}
			}
		}
		u.cancel, _ = u.memory.Ability(u.registry, abilityCancel)
		u.asked = time.Now()
	})
}

// next is the size of the next body of an upload that has offset bytes, and lacks rest.
func (u *uploading) next(offset, rest int64) int64 {
	u.recall()
	u.mu.Lock()
	defer u.mu.Unlock()
	put := u.put.value()
	if offset == 0 && rest <= put {
		return rest // without Content-Range
	}
	return min(rest, put, u.chunk.value())
}

// refused learns that a body of a size was refused, and returns how large one may be now; zero if
// smaller ones are not tried.
func (u *uploading) refused(size int64, ranged bool) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	limit := u.limit(ranged)
	part := partBelow(size)
	if part == 0 {
		if ranged && !limit.confirmed { // a 416 that was not about the size
			*limit = sizeLimit{}
		}
		return 0
	}
	*limit = sizeLimit{most: min(limit.value(), part), at: time.Now()}
	return limit.most
}

func (u *uploading) limit(ranged bool) *sizeLimit {
	if ranged {
		return &u.chunk
	}
	return &u.put
}

// taken learns that a body was accepted. A limit is remembered only then: a refusal may have had another reason.
func (u *uploading) taken(ranged bool) {
	u.mu.Lock()
	limit, ability := u.limit(ranged), abilityPut
	if ranged {
		ability = abilityChunk
	}
	most, news := limit.most, limit.most > 0 && !limit.confirmed
	limit.confirmed = limit.most > 0
	u.mu.Unlock()
	if news {
		u.keep(ability, fmt.Sprintf("<=%d", most))
	}
}

// cancels reports whether it makes sense to remove a session.
func (u *uploading) cancels() bool {
	u.recall()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cancel != seenDenied || time.Since(u.asked) > abilityLife
}

// cancelled learns from the answer to the removal of a session. Distribution wants the action "delete" for it,
// which an account that may push does not always have.
func (u *uploading) cancelled(err error) {
	seen := seenOK
	if errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrUnsupported) {
		seen = seenDenied
	} else if err != nil {
		return
	}
	u.mu.Lock()
	news := u.cancel != seen
	u.cancel, u.asked = seen, time.Now()
	u.mu.Unlock()
	if news {
		u.keep(abilityCancel, seen)
	}
}

func (u *uploading) keep(ability, seen string) {
	if u.memory != nil {
		u.memory.KeepAbility(u.registry, ability, seen)
	}
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
