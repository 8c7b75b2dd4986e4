package auth

import (
	"errors"
	"testing"
)

// The first try of a password was refused while its request was cancelled: the others get the refusal, and none waits.
func TestRefusalOfACancelledRequest(t *testing.T) {
	l := &login{}
	if first, err := l.enter(t.Context()); !first || err != nil {
		t.Fatal(first, err)
	}
	refusal := errors.New("401")
	l.first.leave(false)
	l.refuse(refusal)
	for range 3 {
		if first, err := l.enter(t.Context()); first || !errors.Is(err, refusal) {
			t.Errorf("got %v and %v, want the refusal", first, err)
		}
	}
}
