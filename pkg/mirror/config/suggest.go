package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regsync/regsync/internal/typo"
)

// didYouMean suggests the known word that is closest, or nothing.
func didYouMean(word string, known []string) string {
	if best, ok := typo.Closest(word, known); ok {
		return fmt.Sprintf("did you mean `%s`?", best)
	}
	return ""
}

// meantKey is the key that was probably meant by one that is unknown: misspelled, longer
// or shorter than ours (`caFile`, `user`), or what other tools call it.
func meantKey(word string, known []string) (key, suggestion string) {
	if best, ok := typo.Closest(word, known); ok {
		return best, fmt.Sprintf("did you mean `%s`?", best)
	}
	elsewhere := map[string]string{
		"insecure": "tls: insecure",
		"source":   "from", "images": "from",
		"target": "to", "destination": "to",
		"age": "createdWithin", "regex": "include", "allow": "include", "deny": "exclude", "latest": "newest",
		"platform": "platforms", "keep": "newest", "requireplatform": "requirePlatforms",
	}
	if write, ok := elsewhere[strings.ToLower(word)]; ok {
		if key, _, _ := strings.Cut(write, ":"); slices.Contains(known, key) {
			return key, fmt.Sprintf("write `%s`", write)
		}
	}
	for _, k := range known {
		if hasPrefixFold(word, k) || len(word) > 3 && hasPrefixFold(k, word) {
			return k, fmt.Sprintf("did you mean `%s`?", k)
		}
	}
	return "", ""
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// lookalikes tells of a character on a line that a Chinese keyboard or a word processor puts
// where YAML wants a plain one. What a comment has harms nobody.
func lookalikes(src *source, line int) string {
	text, _, _ := strings.Cut(" "+src.line(line), " #")
	for _, r := range text {
		want, ok := plainOf(r)
		switch {
		case !ok:
		case want == ' ':
			return fmt.Sprintf("line %d has a space of another kind (U+%04X) where YAML wants a plain one", line, r)
		case strings.ContainsRune("“”‘’", r):
			return fmt.Sprintf("line %d has a curly `%c` where YAML wants `%c`", line, r, want)
		default:
			return fmt.Sprintf("line %d has a full-width `%c` where YAML wants `%c`", line, r, want)
		}
	}
	return ""
}

// plainOf is the plain character that one looks like.
func plainOf(r rune) (rune, bool) {
	switch r {
	case '\u00a0', '\u3000':
		return ' ', true
	case '“', '”':
		return '"', true
	case '‘', '’':
		return '\'', true
	case '、':
		return ',', true
	case '【':
		return '[', true
	case '】':
		return ']', true
	}
	// The full-width forms of ASCII lie together (Unicode, FF01 to FF5E). Letters and digits
	// among them are somebody's text.
	plain := r - '！' + '!'
	ascii := r >= '！' && r <= '～'
	return plain, ascii && strings.ContainsRune(":;,[]{}-\"'*#@/._=<>&!|%`", plain)
}

// lookalikeIn reports whether a word has such a character.
func lookalikeIn(word string) bool {
	return strings.ContainsFunc(word, func(r rune) bool { _, ok := plainOf(r); return ok })
}
