package ui

import (
	"math"
	"time"
)

const (
	// meterEvery is the shortest span that a speed is taken from.
	meterEvery = 250 * time.Millisecond
	// meterMemory is the span over which speeds are averaged.
	meterMemory = 5 * time.Second
)

// meter turns a growing number into a speed, smooth enough to read. The zero value is
// ready.
type meter struct {
	at    time.Time
	count int64
	speed float64
}

// measure takes note of the count at a time. A count that falls, because an attempt was
// taken back, counts as standing still.
func (m *meter) measure(now time.Time, count int64) {
	if m.at.IsZero() {
		m.at, m.count = now, count
		return
	}
	span := now.Sub(m.at)
	if span < meterEvery {
		return
	}
	speed := float64(max(count-m.count, 0)) / span.Seconds()
	if m.speed == 0 { // it has just begun to move
		m.speed = speed
	} else {
		m.speed += (speed - m.speed) * (1 - math.Exp(-span.Seconds()/meterMemory.Seconds()))
	}
	m.at, m.count = now, count
}

// left is how long the rest will take at the present speed; false if nobody knows.
func (m *meter) left(rest int64) (time.Duration, bool) {
	if m.speed < 1 || rest < 0 {
		return 0, false
	}
	seconds := float64(rest) / m.speed
	if seconds > 365*24*3600 {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
