package meter

import (
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	var m Meter
	at := time.Unix(0, 0)
	left := func() (time.Duration, bool) { return m.Left(10e6, 10e6) }
	var count int64
	grow := func(steps int, by int64) {
		for range steps {
			at = at.Add(100 * time.Millisecond)
			count += by
			m.Measure(at, count)
		}
	}
	m.Measure(at, 0)
	grow(300, 0) // the beginning of a run, before the first byte
	if _, ok := left(); ok || m.Speed() != 0 {
		t.Errorf("before anything has moved, the speed is %v", m.Speed())
	}
	grow(20, 100_000)
	if _, ok := left(); ok {
		t.Error("it knows the time left after two seconds")
	}
	grow(80, 100_000)
	if speed := m.Speed(); speed < 0.9e6 || speed > 1.1e6 {
		t.Errorf("at 1 MB/s it shows %v", speed)
	}
	if left, ok := left(); !ok || left < 9*time.Second || left > 11*time.Second {
		t.Errorf("10 MB at 1 MB/s will take %v, %v", left, ok)
	}
	if _, ok := m.Left(1e6, 10e6); ok {
		t.Error("it knows the time left of something between 1 MB and 10 MB")
	}
	grow(20, 1_000_000)
	if left, ok := left(); ok {
		t.Errorf("just after the speed has changed, the time left is %v", left)
	}
	count -= 5e6 // an attempt was taken back
	m.Measure(at, count)
	if m.Speed() != 0 {
		t.Errorf("after a step back it shows %v", m.Speed())
	}
	grow(200, 0)
	if _, ok := left(); ok || m.Speed() != 0 {
		t.Errorf("what stands still has the speed %v", m.Speed())
	}
}
