//go:build !race

package transfer_test

// raceDetector reports whether the race detector is on, which multiplies the use of memory.
const raceDetector = false
