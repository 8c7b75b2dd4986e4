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

// A part of a blob has at most largestPart bytes. The limit is divided by four until the registry accepts a part,
// down to smallestPart.
const (
	largestPart  = 64 << 20
	smallestPart = 1 << 20
)

// abilityLife is how long a process relies on what it has learned about a registry's uploads.
const abilityLife = 24 * time.Hour

// The names and values of remembered abilities; a size is "<=N".
const (
	abilityPut    = "put"    // the largest body of any request
	abilityChunk  = "chunk"  // the largest body of a request with Content-Range
	abilityCancel = "cancel" // whether an account may delete a session
	seenAny       = "any"
	seenOK        = "ok"
	seenDenied    = "denied"
)

// uploading is how a registry accepts uploads, as learned from its refusals in this run or an earlier one.
type uploading struct {
	registry string
	memory   Abilities // may be nil
	recalled sync.Once

	mu         sync.Mutex // guards put and chunk; not held while memory is called
	put, chunk sizeLimit

	cancels sync.Map // of cancelAbility, by the user of an account
}

// sizeLimit is the largest body, in bytes, that a registry accepts.
type sizeLimit struct {
	ability string
	most    int64 // zero: there is no limit
	at      time.Time
	// earlier: an earlier run has learned it; this run tries one larger body.
	earlier bool
	// confirmed: the registry accepted a body of about that size. Until then the refusal may have had another
	// reason, so it is not remembered.
	confirmed bool
}

// cancelAbility is whether an account may delete a session, and when that was learned.
type cancelAbility struct {
	seen string
	at   time.Time
}

// recall reads the limits that earlier runs learned.
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

// next returns the size of the next body of an upload that has offset bytes and lacks rest bytes.
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

// allow returns how many bytes of a body of the given size one request may have.
func (l *sizeLimit) allow(size int64) int64 {
	switch {
	case l.most == 0 || size <= l.most:
		return size
	case l.earlier || time.Since(l.at) > abilityLife: // one larger body; concurrent uploads go on in parts
		l.earlier, l.at = false, time.Now()
		return size
	}
	return l.most
}

// refused records that a body of the given size was refused. It returns the new limit, or zero if smaller bodies are
// not tried.
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
	case part == 0 && ranged && !limit.confirmed: // the earlier 416 was not about the size
		limit.most = 0
	case part > 0 && (limit.most == 0 || part < limit.most):
		*limit = sizeLimit{ability: limit.ability, most: part, at: time.Now()}
	}
	if part == 0 {
		return 0
	}
	return limit.most
}

// accepted records that a body of the given size was accepted.
func (u *uploading) accepted(size int64, ranged bool) {
	changed := map[string]string{}
	u.mu.Lock()
	u.put.accepted(size, changed)
	if ranged {
		u.chunk.accepted(size, changed)
	}
	u.mu.Unlock()
	for ability, seen := range changed {
		u.keep(ability, seen)
	}
}

func (l *sizeLimit) accepted(size int64, changed map[string]string) {
	switch {
	case l.most == 0:
	case size > l.most:
		l.most = 0
		changed[l.ability] = seenAny
	case size > l.most/4 && !l.confirmed:
		l.confirmed = true
		changed[l.ability] = fmt.Sprintf("<=%d", l.most)
	}
}

// partsRefused records that a registry accepts no parts. It reports whether only a limit of an earlier run required
// parts; that limit is dropped.
func (u *uploading) partsRefused() bool {
	u.mu.Lock()
	given := u.put.most > 0 && u.put.confirmed
	if given {
		u.put.most = 0
	}
	u.mu.Unlock()
	if given {
		u.keep(abilityPut, seenAny)
	}
	return given
}

// mayCancel reports whether an account should try to delete a session.
func (u *uploading) mayCancel(account string) bool {
	account = userOf(account)
	known, found := u.cancels.Load(account)
	if !found {
		recalled := cancelAbility{at: time.Now()}
		if u.memory != nil {
			recalled.seen, _ = u.memory.Ability(u.registry, cancelOf(account))
		}
		known, _ = u.cancels.LoadOrStore(account, recalled)
	}
	ability, _ := known.(cancelAbility)
	return ability.seen != seenDenied || time.Since(ability.at) > abilityLife
}

// cancelled records the answer to the DELETE of a session. Distribution requires the action "delete" for it, which
// an account that may push does not always have.
func (u *uploading) cancelled(account string, err error) {
	account = userOf(account)
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
	known, _ := u.cancels.Swap(account, cancelAbility{seen, time.Now()})
	if before, _ := known.(cancelAbility); before.seen != seen {
		u.keep(cancelOf(account), seen)
	}
}

// userOf is the part of a fingerprint that stays when the user gets another password.
func userOf(account string) string {
	user, _, _ := strings.Cut(account, "-")
	return user
}

func cancelOf(account string) string { return strings.TrimSpace(abilityCancel + " " + account) }

func (u *uploading) keep(ability, seen string) {
	if u.memory != nil {
		u.memory.KeepAbility(u.registry, ability, seen)
	}
}

// partBelow returns the largest part that is smaller than size, or zero if there is none.
func partBelow(size int64) int64 {
	for part := int64(largestPart); part >= smallestPart; part /= 4 {
		if part < size {
			return part
		}
	}
	return 0
}

// SizeError reports that a registry, or a proxy in front of it, refuses a request because of its size. It is a
// [content.ErrTooLarge] unless Next is zero.
type SizeError struct {
	Registry string
	// Size is the number of bytes in the body of the refused request.
	Size int64
	// Next is the maximum number of bytes in a request of the next attempt; zero if smaller requests are not tried.
	Next int64
	// Err is the answer: a 413, or a 416 although the request started at the right offset.
	Err error
}

func (e *SizeError) Error() string {
	next := fmt.Sprintf("parts of fewer than %d bytes are not tried", int64(smallestPart))
	if e.Next > 0 {
		next = fmt.Sprintf("the next attempt sends parts of at most %d bytes", e.Next)
	}
	return fmt.Sprintf("%s, or a proxy in front of it, refuses a request of %d bytes; %s: %s", e.Registry, e.Size, next, content.AnswerOf(e.Err).Reason)
}

// Is reports whether target is [content.ErrTooLarge], if the next attempt sends smaller requests.
func (e *SizeError) Is(target error) bool { return target == content.ErrTooLarge && e.Next > 0 }

// Unwrap returns the answer.
func (e *SizeError) Unwrap() error { return e.Err }
