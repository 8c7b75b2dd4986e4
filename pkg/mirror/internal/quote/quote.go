// Package quote shows words of a configuration in messages.
package quote

import "unicode"

// longest is how much of a word is shown, in characters.
const longest = 80

// Word puts a word between backticks: short, and without what could trouble a terminal.
func Word(word string) string {
	runes := []rune(word)
	if len(runes) > longest {
		runes = append(runes[:longest], '…')
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	return "`" + string(runes) + "`"
}
