package limit

import (
	"container/heap"
	"container/list"
	"time"
)

// agedAfter is how long a stream waits before it goes ahead of younger ones.
const agedAfter = time.Minute

// Stream is a blob to copy from one registry to another. It waits in the queue of its pair of registries for a write slot.
// It must not be copied after it was enqueued.
type Stream struct {
	// From is the source, To the destination. From is zero for a mount.
	From, To Peer
	// Group and Weight order the streams of a pair: the smaller Group goes first; within a group the larger Weight; then the
	// older stream. A stream that has waited for 60 seconds goes before all others. [Limiter.Reorder] changes them.
	Group, Weight int64
	// Size is the size of the blob in bytes; zero for a mount.
	Size int64
	// Run is called once, in its own goroutine: with the write slot, which it must release, or with a [*PauseError] or
	// [*DownError] of either registry.
	Run func(*Slots, error)

	id      int64 // by arrival
	arrived time.Time
	pair    *pair // nil if it is in no queue
	place   int   // in pair.order
	element *list.Element
}

func (s *Stream) aged(now time.Time) bool { return now.Sub(s.arrived) >= agedAfter }

func (s *Stream) before(other *Stream) bool {
	if s.Group != other.Group {
		return s.Group < other.Group
	}
	if s.Weight != other.Weight {
		return s.Weight > other.Weight
	}
	return s.id < other.id
}

// pair is the queue of streams from one registry to another, under one account at each.
type pair struct {
	peers    [2]Peer
	from, to *registry   // from is nil for streams without a source
	ends     []*registry // to and, if there is a source, from
	order    byOrder
	arrivals list.List // the same streams
	turn     int64     // of the last stream that got a slot
}

func newPair(peers [2]Peer, from, to *registry) *pair {
	p := &pair{peers: peers, from: from, to: to, ends: []*registry{to}}
	to.into[peers] = p
	if from != nil {
		from.outOf[peers] = p
		p.ends = append(p.ends, from)
	}
	return p
}

// enqueue adds a stream, and starts or refuses it if it need not wait.
func (p *pair) enqueue(s *Stream, now time.Time) {
	s.id, s.arrived, s.pair = p.to.limiter.arrival(), now, p
	heap.Push(&p.order, s)
	s.element = p.arrivals.PushBack(s)
	for _, r := range p.ends {
		r.waiting++
	}
	if p.from != nil {
		p.from.targets[p.to.name] = now
	}
	p.to.serveStreams(now)
	if s.pair != nil {
		p.refuse(p.to, Write, now)
	}
	if s.pair != nil && p.from != nil {
		p.refuse(p.from, Read, now)
	}
	for _, r := range p.ends {
		r.noteBound(now)
		r.arm(now)
	}
}

// remove takes a stream out of the queue, and drops the pair if it is empty then.
func (p *pair) remove(s *Stream) {
	heap.Remove(&p.order, s.place)
	p.arrivals.Remove(s.element)
	s.pair = nil
	for _, r := range p.ends {
		r.waiting--
	}
	if len(p.order) == 0 {
		delete(p.to.into, p.peers)
		if p.from != nil {
			delete(p.from.outOf, p.peers)
		}
	}
}

func (p *pair) start(s *Stream, now time.Time) {
	l := p.to.limiter
	l.turns++
	p.turn = l.turns
	p.to.take(Write, s.id, now)
	p.to.writes[p.peers[0].Registry]++
	p.to.carried += s.Size
	if p.from != nil {
		p.from.begin(s.id, now)
	}
	p.remove(s)
	go s.Run(&Slots{limiter: l, id: s.id, pair: p, size: s.Size, since: now}, nil)
}

func (p *pair) release(id, size int64, now time.Time) {
	p.to.writes[p.peers[0].Registry]--
	p.to.carried -= size
	p.to.release(Write, "", id, now)
	if p.from != nil && p.from.health.end(id) {
		p.from.wake(now)
	}
}

// refuse ends the streams that must not wait any longer for r, one of the pair.
func (p *pair) refuse(r *registry, c Class, now time.Time) {
	account := p.peers[0].Account
	if c == Write {
		account = p.peers[1].Account
	}
	err := r.refusal(0, queueKey{account: account, class: c}, now)
	for err != nil && len(p.order) > 0 {
		s := p.order[len(p.order)-1]
		p.remove(s)
		go s.Run(nil, err)
	}
}

// head is the stream of the pair that goes next; nil if none may go. A stream that would have to wait for a read slot may not.
func (p *pair) head(now time.Time) *Stream {
	s, _ := p.arrivals.Front().Value.(*Stream)
	if !s.aged(now) {
		s = p.order[0]
	}
	from, to := queueKey{account: p.peers[0].Account, class: Read}, queueKey{account: p.peers[1].Account, class: Write}
	if !p.to.admits(s.id, to, now) ||
		p.from != nil && (p.from.readers[p.to.name] >= p.from.limit[Read] || !p.from.admits(s.id, from, now)) {
		return nil
	}
	return s
}

type byOrder []*Stream

var _ heap.Interface = (*byOrder)(nil)

func (o byOrder) Len() int           { return len(o) }
func (o byOrder) Less(i, j int) bool { return o[i].before(o[j]) }
func (o byOrder) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].place, o[j].place = i, j
}

// Push implements heap.Interface.
func (o *byOrder) Push(x any) {
	s, _ := x.(*Stream)
	s.place = len(*o)
	*o = append(*o, s)
}

// Pop implements heap.Interface.
func (o *byOrder) Pop() any {
	last := len(*o) - 1
	s := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	return s
}
