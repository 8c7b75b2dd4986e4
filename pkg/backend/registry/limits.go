package registry

import "time"

// limits are how long the client waits for a peer, and how much of a listing it reads. No time
// limit applies to a whole body.
type limits struct {
	dial      time.Duration
	handshake time.Duration
	connect   time.Duration // dial and handshake, with what a proxy takes for them
	answer    time.Duration // from the last byte of a request to the header of its answer
	stall     time.Duration // without a byte, while we wait for that peer to take or send one
	idle      time.Duration // of a connection that is kept
	token     time.Duration // for a whole token request
	linger    time.Duration // for opening an upload after the caller's context ended, and once more for giving it up
	cancel    time.Duration // for giving up an upload, which happens after the caller's context ended

	dying  []time.Duration // before each look for the new location of an upload that is given up
	settle time.Duration   // between two looks at the offset of an upload

	pages     int // in a listing, empty ones included
	names     int // tags or repositories in a listing, valid or not
	referrers int // of one subject
}

func defaultLimits() limits {
	return limits{
		dial: 10 * time.Second, handshake: 10 * time.Second, connect: 30 * time.Second, answer: time.Minute, stall: 30 * time.Second,
		idle: 90 * time.Second, token: 2 * time.Minute, linger: time.Second, cancel: 2 * time.Second,
		dying:  []time.Duration{100 * time.Millisecond, 500 * time.Millisecond},
		settle: 500 * time.Millisecond,
		pages:  10_000, names: 1_000_000, referrers: 1_000,
	}
}

// commitAnswer is the patience for the answer to a commit: object stores copy the blob.
func (l limits) commitAnswer(size int64) time.Duration {
	return l.answer + time.Duration(size/10_000_000)*time.Second
}
