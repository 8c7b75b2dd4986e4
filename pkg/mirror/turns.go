package mirror

// pick finds the feed whose turn it is; nil if none may give an image now. m.mu is held.
func (m *merge) pick() *feed {
	if !m.fair {
		return m.first()
	}
	places := m.look()
	var best *feed
	for _, q := range m.queues {
		if !places.allow(q) {
			continue
		}
		f := places.pickOf(q)
		if f != nil && (best == nil || fewer(q.open, q.turn, best.queue.open, best.queue.turn)) {
			best = f
		}
	}
	return best
}

// first is the first feed in the file's order, once it is ready.
func (m *merge) first() *feed {
	for _, q := range m.queues {
		if q.pending() {
			if len(q.live) > 0 && q.live[0].state == stateReady && (len(q.coming) == 0 || q.live[0].before(q.coming[0])) {
				return q.live[0]
			}
			return nil
		}
	}
	return nil
}

// places is how much room there is for jobs at one moment.
type places struct {
	window int
	// free is what the engine has, and spare what of it is not kept for entries that have no
	// open job.
	free, spare int
	// pending is how many entries have jobs to give, or may still have.
	pending int
}

func (m *merge) look() places {
	p := places{window: m.window, free: m.window - m.open}
	if m.engine != nil {
		p.free = m.engine.Free()
	}
	idle := 0
	for _, q := range m.queues {
		if q.pending() {
			p.pending++
			if q.open == 0 {
				idle++
			}
		}
	}
	p.spare = p.free - min(idle, p.window/4)
	return p
}

// allow reports whether an entry may give one more job.
func (p places) allow(q *queue) bool {
	return p.free > p.window/2 || p.pending == 1 || q.open == 0 || q.open < p.spare
}

// pickOf finds the feed of an entry whose turn it is.
func (p places) pickOf(q *queue) *feed {
	scarce := p.free <= p.window*3/4 && len(q.coming)+len(q.live) > 1
	var best *feed
	for _, f := range q.live {
		if f.state != stateReady || scarce && f.open > 0 && f.open >= p.spare/2 {
			continue
		}
		if best == nil || fewer(f.open, f.turn, best.open, best.turn) {
			best = f
		}
	}
	return best
}

// fewer orders by open jobs, and then by who has waited longer.
func fewer(open, turn, otherOpen, otherTurn int) bool {
	return open < otherOpen || open == otherOpen && turn < otherTurn
}
