package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

const (
	sizePattern     = `^[0-9]+(\.[0-9]+)? ?([kKmMgGtTpP][iI]?)?[bB]?$`
	durationPattern = `^([0-9]+(\.[0-9]+)?(w|d|h|m|s|ms))+$`
)

var (
	sizeForm     = regexp.MustCompile(sizePattern)
	durationForm = regexp.MustCompile(durationPattern)
	longUnits    = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)([wd])`)
)

// size reads a number of bytes: `5GiB` counts by 1024, `5GB` and `5G` by 1000.
func (d *decoder) size(n *yaml.Node, what string) (int64, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return 0, false
	}
	bytes, err := parseSize(s)
	if err != nil {
		d.quantity(n, what, s, err, "sizes are written `5GiB`, `500MB` or, in bytes, `1000000`")
		return 0, false
	}
	return bytes, true
}

func parseSize(s string) (int64, error) {
	if !sizeForm.MatchString(s) {
		return 0, errors.New("no size")
	}
	parse := units.FromHumanSize
	if strings.ContainsAny(s, "iI") {
		parse = units.RAMInBytes
	}
	bytes, err := parse(strings.TrimRight(s, "iIbB")) // it does not know 5Gi, as Kubernetes writes it
	switch {
	case err != nil || bytes < 0 || bytes == math.MaxInt64:
		return 0, errors.New("too large")
	case bytes == 0:
		return 0, errors.New("nothing")
	default:
		return bytes, nil
	}
}

// duration reads a length of time: what time.ParseDuration reads, and days and weeks.
func (d *decoder) duration(n *yaml.Node, what string) (time.Duration, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return 0, false
	}
	t, err := parseDuration(s)
	if err != nil {
		d.quantity(n, what, s, err, "times are written `90s`, `30m`, `1h30m`, `2d` or `12w`")
		return 0, false
	}
	return t, true
}

func parseDuration(s string) (time.Duration, error) {
	if !durationForm.MatchString(s) {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, errors.New("a number without a unit")
		}
		return 0, errors.New("no length of time")
	}
	inHours := longUnits.ReplaceAllStringFunc(s, func(part string) string {
		days, _ := strconv.ParseFloat(part[:len(part)-1], 64)
		if strings.HasSuffix(part, "w") {
			days *= 7
		}
		return strconv.FormatFloat(days*24, 'f', -1, 64) + "h"
	})
	t, err := time.ParseDuration(inHours)
	switch {
	case err != nil:
		return 0, errors.New("too long")
	case t <= 0:
		return 0, errors.New("nothing")
	default:
		return t, nil
	}
}

// quantity records why a text is no size or length of time, without the text where it may
// come from a variable.
func (d *decoder) quantity(n *yaml.Node, what, s string, err error, suggestion string) {
	target := d.resolve(n)
	shown := quote.Word(s)
	if hasVariable(target) {
		shown = quote.Word(target.Value)
	}
	d.suggest(target, suggestion, "%s", fmt.Sprintf("%s: %s is %v", what, shown, err))
}
