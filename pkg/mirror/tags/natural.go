package tags

import (
	"cmp"
	"strings"
)

// compareNatural orders texts by their letters and, where digits meet, by the numbers: r9
// before r10, alpine3.9 before alpine3.19. Numbers may have any length.
func compareNatural(a, b string) int {
	for a != "" && b != "" {
		if isDigit(a[0]) && isDigit(b[0]) {
			aDigits, bDigits := countDigits(a), countDigits(b)
			if c := compareDigits(a[:aDigits], b[:bDigits]); c != 0 {
				return c
			}
			a, b = a[aDigits:], b[bDigits:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// compareDigits compares numbers as they are written.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
