// Package typo guesses which known word a mistyped one was meant to be.
//
// Start at [Closest]. [Distance] is what it measures by.
package typo

import "strings"

// Closest returns the known word that was probably meant: within one mistyping, or two for words
// of six letters or more, because a short word is near to many others. The case of letters does not count.
func Closest(word string, known []string) (string, bool) {
	const long = 6
	best, distance := "", 2
	if len(word) >= long {
		distance = 3
	}
	for _, k := range known {
		if d := Distance(strings.ToLower(word), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best, best != ""
}

// Distance counts the letters to insert, delete, replace or swap with their neighbour
// (optimal string alignment). Words whose lengths differ by more than it are not compared.
func Distance(a, b string) int {
	const far = 1 << 10
	if max(len(a), len(b))-min(len(a), len(b)) > 3 {
		return far
	}
	s, t := []rune(a), []rune(b)
	var before []int
	row := make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(s); i++ {
		next := make([]int, len(t)+1)
		next[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(t)]
}
