package main

import (
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/transfer"
)

func TestLimitedBy(t *testing.T) {
	waited := func(d time.Duration) []limit.Bound {
		return []limit.Bound{{Registry: "a.test", Cause: limit.ByRefusals, Waited: d}}
	}
	for _, test := range []struct {
		bounds           []limit.Bound
		reading, writing time.Duration
		want             string
	}{
		{nil, 0, 0, ""},
		{nil, 4 * time.Second, 0, ""},
		{nil, 100 * time.Second, 50 * time.Second, "source bandwidth"},
		{nil, 5 * time.Second, 50 * time.Second, "destination bandwidth"},
		{waited(time.Second), 100 * time.Second, 5 * time.Second, "source bandwidth"},
		{append(waited(9*time.Second), limit.Bound{Registry: "b.test", Cause: limit.ByBandwidth, Waited: 8 * time.Second}), 0, 0, "b.test: bandwidth"},
		{waited(5 * time.Second), 100 * time.Second, 5 * time.Second, "a.test: 429"},
	} {
		var counters transfer.Counters
		counters.Reading.Store(int64(test.reading))
		counters.Writing.Store(int64(test.writing))
		if got := limitedBy(test.bounds, &counters, 10*time.Second); got != test.want {
			t.Errorf("%v, %v and %v: got %q, want %q", test.bounds, test.reading, test.writing, got, test.want)
		}
	}
}
