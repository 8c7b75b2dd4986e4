package reference_test

import (
	"testing"

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
	for in, want := range map[string]string{
		"ftp://x":              `"ftp://x": "ftp://" is not a scheme of registries; write the host alone`,
		"a b":                  `"a b": there is a space in it`,
		"/a":                   `"/a": the host is missing`,
		"host:x":               `"host:x": the port "x" is not a number`,
		"https://me:s3cret@h/": `"https://***@h/": the user name is an option of its own, not part of the host`,
		"me@h":                 `"me@h": the user name is an option of its own, not part of the host`,
		"h/Team":               `"h/Team": a repository is written in lower case: h/team`,
		"h//a":                 `"h//a": there are two slashes in a row, with no name between them`,
	} {
		if _, _, err := reference.ParseRegistry(in); err == nil || err.Error() != want {
			t.Errorf("ParseRegistry(%q): got %v, want %s", in, err, want)
		}
	}
}
