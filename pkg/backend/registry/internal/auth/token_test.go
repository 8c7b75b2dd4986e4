package auth

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

func document(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func TestTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			life          time.Duration
			small, stream time.Duration // until when it may be sent
		}{
			{60 * time.Second, 54 * time.Second, 40 * time.Second},
			{300 * time.Second, 270 * time.Second, 200 * time.Second},
			{12 * time.Hour, 12*time.Hour - time.Minute, 8 * time.Hour},
		} {
			tok := &token{from: time.Now(), life: test.life}
			for _, lasting := range []bool{false, true} {
				until := test.small
				if lasting {
					until = test.stream
				}
				if !tok.good(tok.from.Add(until-time.Second), lasting) || tok.good(tok.from.Add(until+time.Second), lasting) {
					t.Errorf("life %v, lasting %v: not good until %v", test.life, lasting, until)
				}
			}
		}
	})
}

// The age of a cached token is the difference of the server's two times, whatever the local clock shows.
func TestTokenAge(t *testing.T) {
	date := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		body string
		want time.Duration
	}{
		{`{"token":"t"}`, time.Minute},
		{`{"access_token":"t","expires_in":300}`, 5 * time.Minute},
		{`{"token":"t","expires_in":300,"issued_at":"2000-12-31T23:57:00Z"}`, 2 * time.Minute},
		{`{"token":"t","expires_in":300,"issued_at":"2000-12-31T23:00:00Z"}`, 5 * time.Minute},
		{`{"token":"t","expires_in":300,"issued_at":"2001-01-01T00:02:00Z"}`, 5 * time.Minute},
		{`{"token":"t","expires_in":-3,"issued_at":""}`, time.Minute},
	} {
		resp := &http.Response{
			Header: http.Header{"Date": {date.Format(http.TimeFormat)}}, Body: document(test.body), ContentLength: -1,
			Request: httptest.NewRequest(http.MethodGet, "/token", nil),
		}
		got, err := readToken(resp, time.Now())
		if err != nil || got.life != test.want {
			t.Errorf("%s: got %+v and %v, want a life of %v", test.body, got, err, test.want)
		}
	}
	for _, body := range []string{`{}`, `nonsense`, `{"token":"a\r\nX: y"}`, `{"token":"` + strings.Repeat("x", maxToken+1) + `"}`} {
		if got, err := readToken(&http.Response{
			Body: document(body), ContentLength: -1, Request: httptest.NewRequest(http.MethodGet, "/token", nil),
		}, time.Now()); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%.100s: got %+v and %v, want invalid", body, got, err)
		}
	}
}
