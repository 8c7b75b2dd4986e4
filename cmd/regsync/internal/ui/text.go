package ui

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/mattn/go-runewidth"
	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
)

// width is the number of columns that a line takes on a terminal.
func width(s string) int { return runewidth.StringWidth(s) }

// truncate cuts s on the right to so many columns, and shows that it did.
func truncate(s string, columns int) string {
	if columns <= 0 {
		return ""
	}
	return runewidth.Truncate(s, columns, "…")
}

// truncateLeft cuts s on the left to so many columns, for names whose end says most.
func truncateLeft(s string, columns int) string {
	over := width(s) - columns
	if over <= 0 {
		return s
	}
	return truncate(runewidth.TruncateLeft(s, over+1, "…"), columns)
}

// shortNames cuts names to so many columns, by name: on the left or, where names differ only in what that cuts off, so that
// their first difference stays.
func shortNames(names []string, columns int) map[string]string {
	short, alike := map[string]string{}, map[string][]string{}
	for _, name := range names {
		if _, known := short[name]; !known {
			cut := truncateLeft(name, columns)
			short[name], alike[cut] = cut, append(alike[cut], name)
		}
	}
	for _, group := range alike {
		if len(group) == 1 {
			continue
		}
		same := len(commonPrefix(group))
		for _, name := range group {
			head := name[same:]
			if same > 0 {
				head = "…" + head
			}
			tail := max(columns-2, 0) / 2
			short[name] = truncate(head, columns-tail) + runewidth.TruncateLeft(name, max(width(name)-tail, 0), "")
		}
	}
	return short
}

// commonPrefix returns what all texts begin with, in whole characters.
func commonPrefix(texts []string) string {
	prefix := texts[0]
	for _, text := range texts[1:] {
		for !strings.HasPrefix(text, prefix) {
			_, size := utf8.DecodeLastRuneInString(prefix)
			prefix = prefix[:len(prefix)-size]
		}
	}
	return prefix
}

// padRight fills s up to so many columns.
func padRight(s string, columns int) string { return runewidth.FillRight(s, columns) }

// padLeft fills s up to so many columns, on its left.
func padLeft(s string, columns int) string { return runewidth.FillLeft(s, columns) }

// Referrers is a number of referrers: "1 referrer", "2 referrers".
func Referrers(n int) string { return counted(n, "referrer") }

func notAccepted(n int) string { return Referrers(n) + " not accepted by the destination" }

// counted is a number with its noun: "1 image", "2 images".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// HumanSize is a number of bytes as Docker's progress shows it: decimal units, at most four significant digits, "12.1MB".
func HumanSize(bytes int64) string { return humanSize(float64(bytes), 4) }

// ImageSize is a number of bytes as Docker's lists show it: at most three significant digits, "187MB".
func ImageSize(bytes int64) string { return humanSize(float64(bytes), 3) }

// rate is a speed as people read it, "12.1MB/s".
func rate(bytesPerSecond float64) string { return humanSize(bytesPerSecond, 3) + "/s" }

// humanSize rounds before the unit is chosen: 999.9MB to three digits is 1GB, where go-units alone has 1e+03MB.
func humanSize(bytes float64, digits int) string {
	if bytes >= 1 {
		step := max(1, math.Pow10(int(math.Floor(math.Log10(bytes)))+1-digits))
		bytes = math.Round(bytes/step) * step
	}
	return units.HumanSizeWithPrecision(bytes, digits)
}

// Ago is how long a time is past as Docker shows it, "3 weeks ago"; "N/A" for the zero time,
// which images that are built reproducibly have. A time in the future is "Less than a second ago".
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

// ShortID is the first twelve digits of a digest, as Docker shows IDs.
func ShortID(d digest.Digest) string {
	if d.Validate() != nil {
		return truncate(safe.Clean(d.String()), 12)
	}
	return d.Encoded()[:12]
}

// shortDigest is a digest that is still recognised as one: "sha256:0123456789ab".
func shortDigest(d digest.Digest) string {
	if d.Validate() != nil {
		return safe.Clean(d.String())
	}
	return d.Algorithm().String() + ":" + ShortID(d)
}

// clock is a time span while it runs: "8s", "3m05s", "1h02m".
func clock(d time.Duration) string {
	seconds := int(math.Ceil(d.Seconds()))
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	case seconds < 100*3600:
		return fmt.Sprintf("%dh%02dm", seconds/3600, seconds/60%60)
	default:
		return fmt.Sprintf("%dd", seconds/(24*3600))
	}
}

// elapsed is a time span that is over: "0.4s", "12.3s", "3m05s".
func elapsed(d time.Duration) string {
	if d = d.Round(100 * time.Millisecond); d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return clock(d)
}

// WriteTable writes a table as Docker does: headers in capitals, columns as wide as their widest cell on a terminal, no
// blanks at the end of a line. Cells are cleaned; missing ones are empty. Without a header it writes none.
func WriteTable(w io.Writer, header []string, rows [][]string) error {
	const columnGap, minColumn = 3, 10 // in columns, as Docker's; the gap is part of a column
	var table [][]string
	var widths []int
	for _, row := range append([][]string{header}, rows...) {
		if len(row) == 0 {
			continue
		}
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = safe.Clean(cell)
			if i == len(widths) {
				widths = append(widths, minColumn)
			}
			widths[i] = max(widths[i], width(cells[i])+columnGap)
		}
		table = append(table, cells)
	}
	out := bufio.NewWriter(w) // keeps the first error for Flush
	for _, row := range table {
		line := ""
		at := 0
		for i, cell := range row {
			if cell != "" {
				line = padRight(line, at) + cell
			}
			at += widths[i]
		}
		_, _ = out.WriteString(line + "\n")
	}
	return out.Flush()
}
