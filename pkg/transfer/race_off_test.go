//go:build !race

package transfer

// RaceDetector reports whether the race detector is on, which multiplies the use of memory.
const RaceDetector = false
