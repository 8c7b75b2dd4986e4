package reference_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest/golden"
	"github.com/regsync/regsync/pkg/reference"
)

func TestParseRegistry(t *testing.T) {
	for _, test := range []struct{ in, host, path string }{
		{"", "docker.io", ""},
		{"docker.io", "docker.io", ""},
		{"index.docker.io", "docker.io", ""},
		{"https://index.docker.io/v1/", "docker.io", ""},
		{"registry-1.docker.io", "docker.io", ""},
		{"Harbor.Corp:5443", "harbor.corp:5443", ""},
		{"https://harbor.corp/", "harbor.corp", ""},
		{"http://127.0.0.1:5000/v2/", "127.0.0.1:5000", ""},
		{"harbor.corp/team/a", "harbor.corp", "team/a"},
		{"myregistry", "myregistry", ""},
		{"[::1]:5000", "[::1]:5000", ""},
	} {
		host, path, err := reference.ParseRegistry(test.in)
		if err != nil || host != test.host || path != test.path {
			t.Errorf("ParseRegistry(%q) = %q, %q, %v, want %q, %q", test.in, host, path, err, test.host, test.path)
		}
	}
}

func TestParseRegistryRefuses(t *testing.T) {
	var said strings.Builder
	for _, in := range []string{"ftp://x", "a b", "/a", "host:x", "https://me:s3cret@h/", "me@h", "h/Team", "h//a", "me:s3cret@harbor.corp"} {
		_, _, err := reference.ParseRegistry(in)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("ParseRegistry(%q): got %v", in, err)
		}
		fmt.Fprintln(&said, err)
	}
	golden.Text(t, said.String())
}
