package reference_test

import (
	"testing"

	"github.com/regsync/regsync/pkg/reference"
)

func FuzzParse(f *testing.F) {
	for _, test := range parsed {
		f.Add(test.in)
	}
	for _, in := range refused {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := reference.Parse(s); err == nil {
			checkRoundTrip(t, r)
		}
		if host, path, err := reference.ParseRegistry(s); err == nil {
			again := host
			if path != "" {
				again += "/" + path
			}
			if h, p, err := reference.ParseRegistry(again); err != nil || h != host || p != path {
				t.Errorf("ParseRegistry(%q) = %q, %q, %v, want %q, %q", again, h, p, err, host, path)
			}
		}
	})
}
