package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/limit"
)

const (
	ratePattern      = `(unlimited|[0-9]+(\.[0-9]+)? ?([kKmMgG][iI]?)?[bB]/s)`
	clockPattern     = `([01]?[0-9]|2[0-4]):[0-5][0-9]`
	timetablePattern = `^` + ratePattern + `$|^` + clockPattern + `-` + clockPattern + ` +` + ratePattern +
		`(, *` + clockPattern + `-` + clockPattern + ` +` + ratePattern + `)*(, *else +` + ratePattern + `)?$`
)

// leastRate is the least bandwidth, in bytes a second: below it, both sides take the other one for silent.
const leastRate = 1 << 10

var timetableForm = regexp.MustCompile(timetablePattern)

// timetable reads a bandwidth: `10MiB/s`, or `08:00-20:00 10MiB/s, else unlimited`.
func (d *decoder) timetable(n *yaml.Node, what string) (limit.Timetable, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return limit.Timetable{}, false
	}
	table, err := parseTimetable(s)
	if err != nil {
		d.quantity(n, what, s, err, "bandwidths are written `10MiB/s` or `08:00-20:00 10MiB/s, else unlimited`")
		return limit.Timetable{}, false
	}
	return table, true
}

func parseTimetable(s string) (limit.Timetable, error) {
	var table limit.Timetable
	if !timetableForm.MatchString(s) {
		return table, errors.New("not a bandwidth")
	}
	for part := range strings.SplitSeq(s, ",") {
		when, speed, timed := strings.Cut(strings.TrimSpace(part), " ")
		if !timed || !strings.Contains(when, ":") && when != "else" { // "10 MiB/s" has a space, too
			when, speed = "else", strings.TrimSpace(part)
		}
		bytes, err := parseRate(strings.TrimSpace(speed))
		if err != nil {
			return table, err
		}
		if when == "else" {
			table.Otherwise = bytes
			continue
		}
		from, to, _ := strings.Cut(when, "-")
		period := limit.Period{From: parseClock(from), To: parseClock(to), BytesPerSecond: bytes}
		if period.From == period.To || max(period.From, period.To) > 24*time.Hour {
			return table, fmt.Errorf("wrong: %s is not a period of a day", when)
		}
		table.Periods = append(table.Periods, period)
	}
	return table, nil
}

// parseRate reads bytes a second; "unlimited" is zero.
func parseRate(s string) (int64, error) {
	if s == "unlimited" {
		return 0, nil
	}
	bytes, err := parseSize(strings.TrimSuffix(s, "/s"))
	if err == nil && bytes < leastRate {
		err = errors.New("wrong: less than 1KiB/s, at which connections time out")
	}
	return bytes, err
}

// parseClock reads a time of day of the right form.
func parseClock(s string) time.Duration {
	var hours, minutes int
	_, _ = fmt.Sscanf(s, "%d:%d", &hours, &minutes)
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
}
