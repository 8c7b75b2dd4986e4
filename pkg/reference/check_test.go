package reference_test

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/reference"
)

// hostile are names that are neither tags nor repositories. Some registries have listed such
// names, by mistake or to reach other repositories.
var hostile = []string{
	"", " ", "a b", "-x", ".", "..", ".hidden", "../x", "../../../team/victim/manifests/stable", "/etc/passwd",
	"team/..", "team/../x", "team//x", "team/", "a\\b", "a\nb", "a\x00b", "\x1b[2J", "é", "a%2fb", "%2e%2e", "a?b", "a#b",
	"sha256:16077473b14e14e5662d1499b777feea6faf21aa361e3e03cb90cc30e3cb71b2", "a@b", "a:b",
}

func TestCheckTag(t *testing.T) {
	for _, tag := range []string{
		"null", "latest", "1", "_", "1.25", "v1.0_RC-1", "A", "a..b", "sha256-ab.sig", strings.Repeat("x", 128),
	} {
		if err := reference.CheckTag(tag); err != nil {
			t.Errorf("%q: %v", tag, err)
		}
	}
	for _, tag := range append([]string{"a/b", "team/app", "+x", strings.Repeat("x", 129), strings.Repeat("x", 200)}, hostile...) {
		if reference.CheckTag(tag) == nil {
			t.Errorf("%q passes", tag)
		}
	}
}

func TestCheckRepository(t *testing.T) {
	for _, name := range []string{
		"a", "nginx", "library/nginx", "team/app/deep", "a.b/c__d/e--f", "localhost/x", "docker.io/x", "host.invalid/x",
		strings.Repeat("a", 64), strings.Repeat("a", 255),
	} {
		if err := reference.CheckRepository(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range append([]string{"Upper", "team/Upper", "a_", "a___b", "a..b", strings.Repeat("a", 256)}, hostile...) {
		if err := reference.CheckRepository(name); err == nil {
			t.Errorf("%q passes", name)
		} else if strings.Contains(err.Error(), "host.invalid") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// tagGrammar is that of the OCI distribution specification, "Pulling manifests".
var tagGrammar = regexp.MustCompile(`\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z`)

// FuzzCheck tests what callers of the checks rely on: a valid name does not lead elsewhere, in
// a URL or in a directory, and is parsed as the same name.
func FuzzCheck(f *testing.F) {
	for _, name := range append([]string{"null", "latest", "v1.0_RC-1", "library/nginx", "a.b/c__d/e--f", "Upper"}, hostile...) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := reference.CheckTag(name)
		if (err == nil) != tagGrammar.MatchString(name) {
			t.Errorf("CheckTag(%q) = %v", name, err)
		}
		if err == nil {
			checkStays(t, name)
			if r, err := reference.Parse("a:" + name); err != nil || r.Tag != name {
				t.Errorf("the tag %q is read as %q, %v", name, r.Tag, err)
			}
		}
		if reference.CheckRepository(name) == nil {
			checkStays(t, name)
			if r, err := reference.ParseRepository("host.example/" + name); err != nil || r.Repository != name {
				t.Errorf("the repository %q is read as %q, %v", name, r.Repository, err)
			}
		}
	})
}

func checkStays(t *testing.T, name string) {
	t.Helper()
	if path.Clean("/top/"+name) != "/top/"+name {
		t.Errorf("%q leads elsewhere", name)
	}
	for element := range strings.SplitSeq(name, "/") {
		if url.PathEscape(element) != element {
			t.Errorf("%q has to be escaped in a URL", name)
		}
	}
}
