package glob_test

import (
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/mirror/internal/glob"
)

func TestMatch(t *testing.T) {
	tests := []struct{ glob, matches, others string }{
		{"1.2*", "1.2 1.2.3 1.20-alpine", "1.3 v1.2 1.2/x"},
		{"*", "latest 1", "a/b"},
		{"team/*", "team/app", "team team/a/b other/app"},
		{"*/*", "team/app", "team team/a/b"},
		{"[0-9]?", "12 1a", "1 123 a1"},
		{"[!0-9]*", "latest", "1.2"},
		{"[^0-9]*", "latest", "1.2"},
		{`a\**`, "a* a*b", "ab"},
		{"legacy-*", "legacy-app", "app-legacy"},
	}
	for _, test := range tests {
		for name := range strings.FieldsSeq(test.matches) {
			if !glob.Match(test.glob, name) {
				t.Errorf("%s does not match %s", test.glob, name)
			}
		}
		for name := range strings.FieldsSeq(test.others) {
			if glob.Match(test.glob, name) {
				t.Errorf("%s matches %s", test.glob, name)
			}
		}
		if !glob.Is(test.glob) || !glob.Valid(test.glob) {
			t.Errorf("%s is no valid glob", test.glob)
		}
	}
	for _, broken := range []string{"[a", `*\`, "[a-]", "[z-]*"} {
		if glob.Valid(broken) || glob.Match(broken, "a") {
			t.Errorf("%s is valid", broken)
		}
	}
	for _, name := range []string{"1.2_x-y", `C:\mirror`} {
		if glob.Is(name) {
			t.Errorf("%s is taken for a glob", name)
		}
	}
}

func TestFolderAndReplace(t *testing.T) {
	tests := []struct{ glob, folder, replaced string }{
		{"team/app-*", "team/", "team/app-X"},
		{"a/b/*/c", "a/b/", "a/b/X/c"},
		{"[ab]?c**d", "", "XXcXd"},
		{`a-*b[!\]]`, "", "a-XbX"},
		{"name", "", "name"},
	}
	for _, test := range tests {
		if got := glob.Folder(test.glob); got != test.folder {
			t.Errorf("%s begins with %q, want %q", test.glob, got, test.folder)
		}
		if got := glob.Replace(test.glob, "X"); got != test.replaced {
			t.Errorf("%s becomes %q, want %q", test.glob, got, test.replaced)
		}
	}
}
