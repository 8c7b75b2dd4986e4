package ui

import (
	"bufio"
	"io"
)

// The spacing of Docker's tables, in columns.
const (
	columnGap = 3
	minColumn = 10 // the gap included
)

// Table is a table as Docker prints them: headers in capitals, columns as wide as their
// widest cell on a terminal, no blanks at the end of a line.
type Table struct {
	rows [][]string
}

// NewTable begins a table. Without headers it prints none.
func NewTable(headers ...string) *Table {
	t := &Table{}
	if len(headers) > 0 {
		t.rows = append(t.rows, headers)
	}
	return t
}

// Row adds a row. Cells are cleaned; missing ones are empty.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = Clean(cell)
	}
	t.rows = append(t.rows, row)
}

// Write prints the table.
func (t *Table) Write(w io.Writer) error {
	widths := t.widths()
	out := bufio.NewWriter(w)
	for _, row := range t.rows {
		line := ""
		at := 0
		for i, cell := range row {
			if cell != "" {
				line = padRight(line, at) + cell
			}
			at += widths[i]
		}
		// bufio keeps the first error for Flush.
		_, _ = out.WriteString(line + "\n")
	}
	return out.Flush()
}

func (t *Table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, minColumn)
			}
			widths[i] = max(widths[i], width(cell)+columnGap)
		}
	}
	return widths
}
