package content

import "errors"

// Answer is what an error says about the request that failed. Fields that it says nothing about are empty.
type Answer struct {
	// Host is the host that was asked: a registry, its token server, or a storage server.
	Host string
	// URL is that of the request, without values that may be secret. It is empty if the request was made for another
	// image.
	URL string
	// Status is the HTTP status of the answer, zero if none came.
	Status int
	// Code is the registry's word for it: "MANIFEST_UNKNOWN".
	Code string
	// Reason is the error without the request: "404 Not Found: MANIFEST_UNKNOWN". Equal causes have equal reasons.
	Reason string
}

// AnswerOf takes an error apart. An error says something about its request by one of the methods RegistryHost() string,
// RequestURL() string, HTTPStatus() int, ErrorCode() string and Reason() string; of several errors that wrap each other, the
// outermost that has a method decides. The Reason of an error without one is its text. nil gives the zero value.
func AnswerOf(err error) Answer {
	if err == nil {
		return Answer{}
	}
	a := Answer{Reason: err.Error()}
	var (
		host   interface{ RegistryHost() string }
		url    interface{ RequestURL() string }
		status interface{ HTTPStatus() int }
		code   interface{ ErrorCode() string }
		reason interface{ Reason() string }
	)
	if errors.As(err, &host) {
		a.Host = host.RegistryHost()
	}
	if errors.As(err, &url) {
		a.URL = url.RequestURL()
	}
	if errors.As(err, &status) {
		a.Status = status.HTTPStatus()
	}
	if errors.As(err, &code) {
		a.Code = code.ErrorCode()
	}
	if errors.As(err, &reason) {
		a.Reason = reason.Reason()
	}
	return a
}
