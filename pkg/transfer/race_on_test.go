//go:build race

package transfer_test

// raceDetector: memory is many times what it is otherwise.
const raceDetector = true
