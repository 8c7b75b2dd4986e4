// Package meter measures speeds, and estimates how long the rest takes. Start at [Meter].
package meter

import (
	"math"
	"time"
)

const (
	// Every is the shortest time between two samples.
	Every = 250 * time.Millisecond

	memory     = 15 * time.Second
	recentSpan = 3 * time.Second
	speedSpan  = 5 * time.Second // that a shown speed is the average of
	speedAfter = time.Second     // a speed that was measured for less says nothing
	leftAfter  = 4 * time.Second // nor does a time left
)

// The parts of an estimate may be uncertain by these factors. The estimate is their geometric mean, which keeps it within a
// factor of three.
const (
	steadyFactor = 1.5 // between the speed of the last seconds and that of the whole memory

	// KnownFactor is the largest ratio of the most that is left to do to the least.
	KnownFactor = 3.0
)

// Meter turns a growing number into a speed. The zero value works. Its time starts when the number begins to grow.
type Meter struct{ samples []sample }

type sample struct {
	at    time.Time
	count int64
}

// Measure takes note of the count at a time. If it falls, because an attempt is repeated, the meter starts again.
func (m *Meter) Measure(now time.Time, count int64) {
	if n := len(m.samples); n > 0 && count < m.samples[n-1].count {
		m.samples = m.samples[:0]
	} else if n > 0 && now.Sub(m.samples[n-1].at) < Every {
		return
	}
	m.samples = append(m.samples, sample{now, count})
	old := 0
	for old+1 < len(m.samples) && (m.samples[old].count == m.samples[old+1].count || now.Sub(m.samples[old].at) > memory) {
		old++
	}
	m.samples = append(m.samples[:0], m.samples[old:]...)
}

// average returns the speed of the last span, and the time that it was measured for.
func (m *Meter) average(span time.Duration) (float64, time.Duration) {
	if len(m.samples) < 2 {
		return 0, 0
	}
	last := m.samples[len(m.samples)-1]
	first := m.samples[0]
	for _, s := range m.samples {
		if last.at.Sub(s.at) <= span {
			first = s
			break
		}
	}
	measured := last.at.Sub(first.at)
	if measured == 0 {
		return 0, 0
	}
	return float64(last.count-first.count) / measured.Seconds(), measured
}

// Speed returns the present speed; zero while it is not known.
func (m *Meter) Speed() float64 {
	speed, measured := m.average(speedSpan)
	if measured < speedAfter {
		return 0
	}
	return speed
}

// Left returns how long the rest will take, which is between least and most; false if that is not known within a factor
// of three, because the speed changes, was measured for too short a time, or too little is known of the rest.
func (m *Meter) Left(least, most float64) (time.Duration, bool) {
	speed, measured := m.average(memory)
	recent, _ := m.average(recentSpan)
	if measured < leftAfter || recent < 1 || max(speed/recent, recent/speed) > steadyFactor || least <= 0 || most > KnownFactor*least {
		return 0, false
	}
	seconds := math.Sqrt(least * most / speed / recent)
	if seconds > 365*24*3600 {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
