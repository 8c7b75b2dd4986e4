package ui

import (
	"bufio"
	"io"

	"github.com/regsync/regsync/cmd/regsync/internal/safe"
)

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
