package ui

import (
	"io"
	"strings"

	"github.com/schollz/progressbar/v3"
)

// bar draws how much of total is done, in so many columns: "[====>     ]".
func bar(columns int, done, total int64) string {
	theme := progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}
	total = max(total, 1)
	drawn := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(columns-len("[]")),
		progressbar.OptionSetTheme(theme),
		progressbar.OptionSetRenderBlankState(true))
	_ = drawn.Set64(min(max(done, 0), total)) // it refuses only more than the total
	_, rest, _ := strings.Cut(drawn.String(), "[")
	inner, _, _ := strings.Cut(rest, "]")
	return "[" + inner + "]"
}
