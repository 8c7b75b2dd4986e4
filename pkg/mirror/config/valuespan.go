package config

import "strings"

// value is where a key's value lies: bytes start to end of its line, and all lines after it
// up to lastLine.
type value struct{ start, end, lastLine int }

// valueAfter finds the value of a key that begins at keyStart of line i and whose colon
// ends before colonEnd.
func valueAfter(lines []string, i, keyStart, colonEnd int) value {
	line := lines[i]
	start := colonEnd + indentOf(line[colonEnd:])
	rest := line[start:]
	whole := value{start, len(line), lastIndented(lines, i)}
	switch {
	case rest == "":
		return value{start, start, max(whole.lastLine, nextFilled(lines, i))}
	case rest[0] == '"' || rest[0] == '\'':
		return quoted(lines, i, start)
	case strings.ContainsRune("&!*[{|>", rune(rest[0])):
		return whole
	}
	before := strings.TrimRight(line[:keyStart], " \t\"'")
	inFlow := strings.HasSuffix(before, "{") || strings.HasSuffix(before, ",")
	if end := strings.IndexAny(rest, ",}"); inFlow && end >= 0 && !strings.Contains(rest[:end], "{") {
		return value{start, start + end, i}
	}
	return whole
}

// quoted finds the end of a quoted value, which may span lines; without one it is the rest
// of the file.
func quoted(lines []string, i, start int) value {
	quote := lines[i][start]
	for l := i; l < len(lines); l++ {
		from := 0
		if l == i {
			from = start + 1
		}
		for at := from; at < len(lines[l]); at++ {
			switch {
			case lines[l][at] == '\\' && quote == '"':
				at++
			case lines[l][at] != quote:
			case quote == '\'' && strings.HasPrefix(lines[l][at+1:], "'"):
				at++
			case l == i:
				return value{start, at + 1, i}
			default:
				return value{start, len(lines[i]), l}
			}
		}
	}
	return value{start, len(lines[i]), len(lines) - 1}
}

// lastIndented is the last of the lines after i that are indented deeper, and so belong to
// its value.
func lastIndented(lines []string, i int) int {
	depth, last := indentOf(lines[i]), i
	for l := i + 1; l < len(lines); l++ {
		switch {
		case strings.TrimSpace(lines[l]) == "":
		case indentOf(lines[l]) > depth:
			last = l
		default:
			return last
		}
	}
	return last
}

func nextFilled(lines []string, i int) int {
	for l := i + 1; l < len(lines); l++ {
		if strings.TrimSpace(lines[l]) != "" {
			return l
		}
	}
	return i
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }
