package typo_test

import (
	"testing"

	"github.com/regsync/regsync/internal/typo"
)

func TestClosest(t *testing.T) {
	known := []string{"amd64", "arm64", "arm", "386", "s390x", "platform"}
	for _, test := range []struct{ word, want string }{
		{"amd46", "amd64"},
		{"arm46", "arm64"},
		{"AMD64", "amd64"},
		{"amd6", "amd64"},
		{"i386", "386"},
		{"s390", "s390x"},
		{"ar", "arm"},
		{"x", ""},
		{"sparc", ""},
		{"platfomr", "platform"},
		{"plattfrom", "platform"},
		{"bladform", "platform"},
		{"bladphorm", ""},
		{"adm46", ""}, // two mistypings in a short word
		{"", ""},
		{"a very long word", ""},
	} {
		if got, ok := typo.Closest(test.word, known); got != test.want || ok != (test.want != "") {
			t.Errorf("%q: got %q, %v, want %q", test.word, got, ok, test.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"password", "password", 0},
		{"pasword", "password", 1},
		{"passwrod", "password", 1},
		{"pass", "password", 1 << 10}, // too far to be compared
	} {
		if got := typo.Distance(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
