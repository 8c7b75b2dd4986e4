package main

import (
	"time"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/transfer"
)

// limitedBy returns what a run waited for most: a limit, for which something waited half of the time, or else the side
// whose line kept streams busy, half a stream on average at least; empty if it was neither. A rate goes first: while
// requests wait for it, others wait for their slots.
func limitedBy(bounds []limit.Bound, counters *transfer.Counters, took time.Duration) string {
	isRate := func(b limit.Bound) bool { return b.Cause == limit.ByBandwidth || b.Cause == limit.ByRequests }
	var most limit.Bound
	for _, b := range bounds { // the longest wait is first
		if b.Waited >= took/2 && (most.Registry == "" || isRate(b) && !isRate(most)) {
			most = b
		}
	}
	if most.Registry != "" {
		return most.Registry + ": " + string(most.Cause)
	}
	reading, writing := time.Duration(counters.Reading.Load()), time.Duration(counters.Writing.Load())
	switch {
	case reading+writing < took/2:
		return ""
	case reading > writing:
		return "source bandwidth"
	default:
		return "destination bandwidth"
	}
}
