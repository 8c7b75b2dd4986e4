package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
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
	abilityCancel = "cancel" // whether an account may remove a session
	seenAny       = "any"
	seenOK        = "ok"
	seenDenied    = "denied"
)

// uploading is how a registry takes uploads, as far as it has told by refusals, in this run or an earlier one.
type uploading struct {
	registry string
	memory   Abilities // may be nil
	recalled sync.Once

	mu         sync.Mutex // guards all below; the memory is called without it
	put, chunk sizeLimit
	cancels    map[string]cancelAbility // by account
}

// sizeLimit is the largest body, in bytes, that a registry takes.
type sizeLimit struct {
	ability string
	most    int64 // zero: there is no limit
	at      time.Time
	// earlier: another run has learned it, so that one larger body is tried.
	earlier bool
	// confirmed: a body of about that size was taken. Before, a refusal may have had another reason, and is not
	// remembered.
	confirmed bool
}

type cancelAbility struct {
	seen string
	at   time.Time
}

// recall reads what earlier runs remembered.
func (u *uploading) recall() {
	u.recalled.Do(func() {
		put, chunk := u.recallLimit(abilityPut), u.recallLimit(abilityChunk)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.put, u.chunk = put, chunk
	})
}

func (u *uploading) recallLimit(ability string) sizeLimit {
	l := sizeLimit{ability: ability}
	if u.memory == nil {
		return l
	}
	seen, _ := u.memory.Ability(u.registry, ability)
	digits, _ := strings.CutPrefix(seen, "<=")
	if most, err := strconv.ParseInt(digits, 10, 64); err == nil && most >= smallestPart {
		l.most, l.at, l.earlier, l.confirmed = most, time.Now(), true, true
	}
	return l
}

// next is the size of the next body of an upload that has offset bytes, and lacks rest.
func (u *uploading) next(offset, rest int64) int64 {
	u.recall()
	u.mu.Lock()
	defer u.mu.Unlock()
	put := u.put.allow(rest)
	if offset == 0 && rest <= put {
		return rest // without Content-Range
	}
	part := min(rest, put)
	return min(part, u.chunk.allow(part))
}

// allow is how many bytes of a body of a size may go in one request.
func (l *sizeLimit) allow(size int64) int64 {
	switch {
	case l.most == 0 || size <= l.most:
		return size
	case l.earlier || time.Since(l.at) > abilityLife: // once; the others wait for its outcome in parts
		l.earlier, l.at = false, time.Now()
		return size
	}
	return l.most
}

// refused learns that a body of a size was refused, and returns how large one may be now; zero if
// smaller ones are not tried.
func (u *uploading) refused(size int64, ranged bool) int64 {
	u.recall()
	u.mu.Lock()
	defer u.mu.Unlock()
	limit := &u.put
	if ranged {
		limit = &u.chunk
	}
	part := partBelow(size)
	switch {
	case part == 0 && ranged && !limit.confirmed: // a 416 that was not about the size
		limit.most = 0
	case part > 0 && (limit.most == 0 || part < limit.most):
		*limit = sizeLimit{ability: limit.ability, most: part, at: time.Now()}
	}
	if part == 0 {
		return 0
	}
	return limit.most
}

// taken learns that a body of a size was accepted.
func (u *uploading) taken(size int64, ranged bool) {
	news := map[string]string{}
	u.mu.Lock()
	u.put.taken(size, news)
	if ranged {
		u.chunk.taken(size, news)
	}
	u.mu.Unlock()
	for ability, seen := range news {
		u.keep(ability, seen)
	}
}

func (l *sizeLimit) taken(size int64, news map[string]string) {
	switch {
	case l.most == 0:
	case size > l.most:
		l.most = 0
		news[l.ability] = seenAny
	case size > l.most/4 && !l.confirmed:
		l.confirmed = true
		news[l.ability] = fmt.Sprintf("<=%d", l.most)
	}
}

// partsRefused learns that a registry takes no parts. It reports whether a limit of an earlier run made parts
// necessary, which is given up then.
func (u *uploading) partsRefused() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.put.most == 0 || !u.put.confirmed {
		return false
	}
	u.put.most = 0
	return true
}

// mayCancel reports whether it makes sense that an account removes a session.
func (u *uploading) mayCancel(account string) bool {
	u.mu.Lock()
	known, found := u.cancels[account]
	u.mu.Unlock()
	if !found {
		known.at = time.Now()
		if u.memory != nil {
			known.seen, _ = u.memory.Ability(u.registry, cancelOf(account))
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.setCancel(account, known)
	}
	return known.seen != seenDenied || time.Since(known.at) > abilityLife
}

// cancelled learns from the answer to the removal of a session. Distribution wants the action "delete" for it,
// which an account that may push does not always have.
func (u *uploading) cancelled(account string, err error) {
	seen := seenOK
	refusal, refused := errors.AsType[*answer.Error](err)
	switch {
	case err == nil:
	case refused && refusal.Method == http.MethodDelete && (errors.Is(err, content.ErrDenied) ||
		errors.Is(err, content.ErrUnauthorized) || errors.Is(err, content.ErrUnsupported)):
		seen = seenDenied
	default:
		return
	}
	u.mu.Lock()
	news := u.cancels[account].seen != seen
	u.setCancel(account, cancelAbility{seen, time.Now()})
	u.mu.Unlock()
	if news {
		u.keep(cancelOf(account), seen)
	}
}

// setCancel is called with u.mu.
func (u *uploading) setCancel(account string, known cancelAbility) {
	if u.cancels == nil {
		u.cancels = map[string]cancelAbility{}
	}
	u.cancels[account] = known
}

func cancelOf(account string) string { return strings.TrimSpace(abilityCancel + " " + account) }

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
