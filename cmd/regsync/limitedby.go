package main

import (
	"time"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/transfer"
)

// limitedBy returns what a run waited for most: a limit, if requests waited for it during half of the run, or else the
// side that streams waited for, if it was half a stream on average at least; empty if neither.
func limitedBy(bounds []limit.Bound, counters *transfer.Counters, took time.Duration) string {
	if len(bounds) > 0 && bounds[0].Waited >= took/2 {
		return bounds[0].Registry + ": " + string(bounds[0].Cause)
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
