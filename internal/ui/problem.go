package ui

import (
	"errors"

	"github.com/regsync/regsync/pkg/transfer"
)

// Problem is an error as documents tell it. Every field is safe to print.
type Problem struct {
	// Side is the end of the copy that it comes from; empty if it comes from neither.
	Side transfer.Side `json:"side,omitempty"`
	// Host is the registry that was asked.
	Host string `json:"host,omitempty"`
	// Status is the HTTP status of the answer, 0 if there was none.
	Status int `json:"status,omitempty"`
	// Code is the registry's own word for it, "MANIFEST_UNKNOWN".
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	// Hint is the next step, where one is known.
	Hint string `json:"hint,omitempty"`
}

// Hints gives the next step for an error, or the empty text. It may be nil.
type Hints func(error) string

// The abilities of errors that a Problem is made from.
type (
	hostError interface {
		error
		RegistryHost() string
	}
	statusError interface {
		error
		HTTPStatus() int
	}
	codeError interface {
		error
		ErrorCode() string
	}
)

// NewProblem takes an error apart; nil for nil.
func NewProblem(err error, hints Hints) *Problem {
	if err == nil {
		return nil
	}
	p := &Problem{Message: Message(err.Error())}
	if side, ok := errors.AsType[*transfer.Error](err); ok {
		p.Side, p.Host = side.Side, Clean(side.Reference.Registry)
	}
	if e, ok := errors.AsType[hostError](err); ok {
		p.Host = Clean(e.RegistryHost())
	}
	if e, ok := errors.AsType[statusError](err); ok {
		p.Status = e.HTTPStatus()
	}
	if e, ok := errors.AsType[codeError](err); ok {
		p.Code = Clean(e.ErrorCode())
	}
	if hints != nil {
		p.Hint = Clean(hints(err))
	}
	return p
}

// problemOf is why a destination failed; nil where it did not.
func problemOf(r transfer.DestinationResult, hints Hints) *Problem {
	if statusOf(r) != StatusFailed {
		return nil
	}
	return NewProblem(r.Err, hints)
}
