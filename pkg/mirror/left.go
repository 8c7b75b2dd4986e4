package mirror

import "slices"

// left notes in an outcome what the end of the run has kept from beginning.
func (m *merge) left(o *Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at, feeds := range m.opened {
		// The engine took them, and gave no result: it had not begun them.
		o.entry(at.entry).NotBegun += len(feeds)
	}
	for _, q := range m.queues {
		e := o.entry(q.entry.Name)
		for _, f := range slices.Concat(q.live, q.coming) {
			images, known := f.rest()
			e.NotBegun += images
			e.Unlisted = e.Unlisted || !known
		}
	}
}

// rest is how many images of a feed have not been taken, as far as that is known.
func (f *feed) rest() (images int, known bool) {
	switch {
	case f.witness:
		return 0, true
	case f.state >= stateListed && f.source.Glob == "" || !f.source.IsRepository():
		return f.images() - f.next, f.err == nil
	case f.remote():
		return 0, false
	default:
		names, _ := f.entry.Tags.Literals()
		return len(names), true
	}
}
