package reference

import "fmt"

// ParseError is why a text is no reference.
type ParseError struct {
	// Input is what was read, without the password of an URL.
	Input string
	// Reason says what is wrong with it and, where that is known, what to write instead.
	Reason string
}

func (e *ParseError) Error() string { return fmt.Sprintf("%q: %s", e.Input, e.Reason) }

func parseError(input string, reason error) error {
	return &ParseError{Input: withoutUserInfo(input), Reason: reason.Error()}
}
