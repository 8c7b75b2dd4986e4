package registry

import (
	"crypto/tls"
	"errors"
	"net/http"
)

// scheme is the RoundTripper that speaks plain http to a registry on a loopback address
// that has answered something else than TLS, and to those set so. A certificate that is not
// trusted is no such answer.
type scheme struct {
	host *host
	next http.RoundTripper
}

var _ http.RoundTripper = (*scheme)(nil)

// RoundTrip implements http.RoundTripper.
func (s *scheme) RoundTrip(req *http.Request) (*http.Response, error) {
	if !s.host.owns(req.URL) {
		return s.next.RoundTrip(req)
	}
	if s.host.plain.Load() && req.URL.Scheme == "https" {
		req = inPlain(req)
	}
	resp, err := s.next.RoundTrip(req)
	if err == nil {
		if req.URL.Scheme == "https" {
			s.host.encrypted.Store(true)
		}
		return resp, nil
	}
	if !isNotTLS(err) || !s.host.mayBePlain() {
		return nil, err
	}
	again, ok := rewind(req)
	if !ok {
		return nil, err
	}
	if resp, err = s.next.RoundTrip(inPlain(again)); err == nil {
		s.host.plain.Store(true)
	}
	return resp, err
}

func inPlain(req *http.Request) *http.Request {
	plain := req.Clone(req.Context())
	plain.URL.Scheme = "http"
	return plain
}

func isNotTLS(err error) bool {
	_, found := errors.AsType[tls.RecordHeaderError](err)
	return found
}

func explainTLS(req *http.Request, err error) error {
	record, found := errors.AsType[tls.RecordHeaderError](err)
	if !found {
		return err
	}
	return &NotTLSError{Host: req.URL.Host, HTTP: string(record.RecordHeader[:]) == "HTTP/", Err: err}
}
