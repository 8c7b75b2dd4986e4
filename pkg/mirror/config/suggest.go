package config

import (
	"fmt"
	"strings"
)

// closest finds what was probably meant by a word, within two mistypings, or nothing.
func closest(word string, known []string) (string, bool) {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(strings.ToLower(word), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best, best != ""
}

// didYouMean is the suggestion that follows from closest, or nothing.
func didYouMean(word string, known []string) string {
	if best, ok := closest(word, known); ok {
		return fmt.Sprintf("did you mean `%s`?", best)
	}
	return ""
}

// editDistance counts the letters to insert, delete, replace or swap with their neighbour
// (optimal string alignment). Words whose lengths differ by more than it are not compared.
func editDistance(a, b string) int {
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

// lookalikes tells of a character on a line that a Chinese keyboard or a word processor puts
// where YAML wants a plain one.
func lookalikes(src *source, line int) string {
	plain := map[rune]rune{
		'：': ':', '，': ',', '“': '"', '”': '"', '‘': '\'', '’': '\'', '［': '[', '］': ']', '｛': '{', '｝': '}',
		'－': '-', '\u00a0': ' ', '\u3000': ' ',
	}
	for _, r := range src.line(line) {
		want, ok := plain[r]
		switch {
		case !ok:
		case want == ' ':
			return fmt.Sprintf("line %d has a space of another kind (U+%04X) where YAML wants a plain one", line, r)
		default:
			return fmt.Sprintf("line %d has a full-width `%c` where YAML wants `%c`", line, r, want)
		}
	}
	return ""
}
