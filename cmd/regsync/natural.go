package main

import (
	"cmp"
	"strings"
)

// compareNatural orders as people do: the numbers in two texts are compared as numbers, so
// that 1.9 goes before 1.10.
func compareNatural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		left, right := cutRun(x), cutRun(y)
		if c := compareRuns(left, right); c != 0 {
			return c
		}
		x, y = x[len(left):], y[len(right):]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// cutRun is the digits, or else the other characters, that s begins with.
func cutRun(s string) string {
	digit := isDigit(s[0])
	end := 1
	for end < len(s) && isDigit(s[end]) == digit {
		end++
	}
	return s[:end]
}

func compareRuns(a, b string) int {
	if !isDigit(a[0]) || !isDigit(b[0]) {
		return strings.Compare(a, b)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
