package mirror

import "slices"

// pick finds the feed whose turn it is; nil if none may give an image now.
func (m *merge) pick() *feed {
	if !m.fair {
		return m.first()
	}
	var best *feed
	for _, q := range m.queues {
		if f := m.pickOf(q); f != nil && (best == nil || fewer(q.open, q.turn, best.queue.open, best.queue.turn)) {
			best = f
		}
	}
	return best
}

// first is the first feed in the file's order, once it is ready.
func (m *merge) first() *feed {
	for _, q := range m.queues {
		if q.pending() {
			if len(q.live) > 0 && q.live[0].state == stateReady {
				return q.live[0]
			}
			return nil
		}
	}
	return nil
}

// pickOf finds the feed of an entry whose turn it is.
func (m *merge) pickOf(q *queue) *feed {
	free := m.free()
	if free <= m.window/2 && q.open >= max(free, 1) && m.contended(q) {
		return nil
	}
	scarce := free <= m.window*3/4 && len(q.coming)+len(q.live) > 1
	var best *feed
	for _, f := range q.live {
		if f.state != stateReady || scarce && f.open >= max(free/2, 1) {
			continue
		}
		if best == nil || fewer(f.open, f.turn, best.open, best.turn) {
			best = f
		}
	}
	return best
}

// free is how many places the engine has.
func (m *merge) free() int {
	if m.places != nil {
		return m.places.Free()
	}
	return m.window - m.open
}

// contended reports whether another entry has jobs to give, or may still have.
func (m *merge) contended(q *queue) bool {
	return slices.ContainsFunc(m.queues, func(other *queue) bool { return other != q && other.pending() })
}

// fewer orders by open jobs, and then by who has waited longer.
func fewer(open, turn, otherOpen, otherTurn int) bool {
	return open < otherOpen || open == otherOpen && turn < otherTurn
}
