package auth

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestParseChallenges(t *testing.T) {
	for _, test := range []struct {
		header string
		want   []challenge
	}{
		{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push"`,
			[]challenge{{"bearer", map[string]string{"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:library/nginx:pull,push"}}}},
		{`Basic realm="Registry", Bearer realm=https://h/t , service = "x"`,
			[]challenge{{"basic", map[string]string{"realm": "Registry"}}, {"bearer", map[string]string{"realm": "https://h/t", "service": "x"}}}},
		{`BASIC`, []challenge{{"basic", map[string]string{}}}},
		{`Bearer realm="a \"quoted\" one",realm="second"`, []challenge{{"bearer", map[string]string{"realm": `a "quoted" one`}}}},
		{`Bearer realm="open`, []challenge{{"bearer", map[string]string{"realm": "open"}}}},
		{`,,= "`, nil},
		{``, nil},
	} {
		got := parseChallenges(test.header)
		if len(got) != 0 || len(test.want) != 0 {
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s: got %v, want %v", test.header, got, test.want)
			}
		}
	}
}

func TestPick(t *testing.T) {
	for _, test := range []struct {
		headers []string
		want    string
	}{
		{[]string{`Basic realm="x"`, `Bearer realm="https://h"`}, "bearer"},
		{[]string{`Bearer service="no realm"`, `Basic realm="x"`}, "basic"},
		{[]string{`Negotiate abc==`}, ""},
		{nil, ""},
	} {
		got := ""
		if c := pick(http.Header{"Www-Authenticate": test.headers}); c != nil {
			got = c.scheme
		}
		if got != test.want {
			t.Errorf("%q: got %q, want %q", test.headers, got, test.want)
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://h/t",service="s",scope="repository:a:pull"`)
	f.Add(`Basic realm="x\"`)
	f.Fuzz(func(t *testing.T, header string) {
		for _, c := range parseChallenges(header) {
			if c.scheme == "" {
				t.Errorf("%q: a challenge without a scheme", header)
			}
		}
	})
}

// The scopes of a challenge are kept with each token and repository. A challenge of 256 KiB for each of 10,000
// repositories took 2.5 GB.
func TestScopesOfAChallengeAreBounded(t *testing.T) {
	var long strings.Builder
	for n := range 5000 {
		fmt.Fprintf(&long, "repository:a%d:pull ", n)
	}
	if s := parseScopes(long.String()); len(s) != maxScopes {
		t.Errorf("%d scopes, want %d", len(s), maxScopes)
	}
	if s := parseScopes("repository:" + strings.Repeat("a", maxScope) + ":pull repository:b:pull"); s.String() != "repository:b:pull" {
		t.Errorf("got %.100s", s)
	}
}

func TestScopes(t *testing.T) {
	s := parseScopes("repository:a/b:push,pull registry:catalog:* nonsense repository:h:5000/c:pull repository:a/b:delete")
	if got, want := s.String(), "repository:a/b:delete,pull,push registry:catalog:* repository:h:5000/c:pull"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, test := range []struct {
		need string
		want bool
	}{
		{"repository:a/b:pull", true},
		{"repository:a/b:pull,push registry:catalog:*", true},
		{"registry:catalog:anything", true},
		{"repository:c:pull", false},
		{"repository:h:5000/c:push", false},
		{"", true},
	} {
		if got := s.covers(parseScopes(test.need)); got != test.want {
			t.Errorf("%s covers %q: got %v, want %v", s, test.need, got, test.want)
		}
	}
}
