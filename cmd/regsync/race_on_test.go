//go:build race

package main

// raceDetector reports whether the race detector is on, which multiplies the use of memory.
const raceDetector = true
