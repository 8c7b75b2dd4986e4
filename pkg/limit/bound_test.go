package limit

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBounds(t *testing.T) {
	accept := func(int64) bool { return true }
	for _, test := range []struct {
		name    string
		options Options
		accepts func(int64) bool
		want    Cause
	}{
		{"nothing", Options{}, accept, ""},
		{"few connections", Options{MaxConnections: func(string) int { return 6 }}, accept, ByConnections},
		{"refusals", Options{}, func(inFlight int64) bool { return inFlight <= 8 }, ByRefusals},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(test.options)
				load(t, l, time.Minute, test.accepts)
				bounds := l.Bounds()
				if test.want == "" && len(bounds) > 0 || test.want != "" && (len(bounds) == 0 || bounds[0].Cause != test.want || bounds[0].Registry != a.Registry) {
					t.Errorf("got %v, want %q first", bounds, test.want)
				}
			})
		})
	}
}

func TestBoundsByRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rated(Rates{RequestsPerSecond: 1, Bandwidth: Timetable{Otherwise: mib}})
		for range 5 {
			_ = l.WaitRequest(t.Context(), a, Small)
		}
		_ = l.WaitBytes(t.Context(), a.Registry, 10*mib)
		bounds := l.Bounds()
		if len(bounds) != 2 || bounds[0].Cause != ByBandwidth || bounds[1].Cause != ByRequests || bounds[1].Waited != 4*time.Second {
			t.Errorf("got %v", bounds)
		}
	})
}
