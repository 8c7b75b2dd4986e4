package content

import (
	"encoding/binary"
	"sort"
	"sync"
)

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
