//go:build !race

package main

// raceDetector: memory is many times what it is otherwise.
const raceDetector = false
