package ui

import (
	"fmt"
	"math"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
)

// HumanSize is a number of bytes as Docker shows it while they move: decimal units, at
// most four significant digits, "12.1MB".
func HumanSize(bytes int64) string { return humanSize(float64(bytes), 4) }

// ImageSize is a number of bytes as Docker shows it in lists: at most three significant
// digits, "187MB".
func ImageSize(bytes int64) string { return compactSize(bytes) }

func compactSize(bytes int64) string { return humanSize(float64(bytes), 3) }

// rate is a speed as people read it, "12.1MB/s".
func rate(bytesPerSecond float64) string { return humanSize(bytesPerSecond, 3) + "/s" }

// humanSize rounds before it takes the unit: 999.9MB to three digits is 1GB, where
// go-units alone has 1e+03MB.
func humanSize(bytes float64, digits int) string {
	if bytes >= 1 {
		step := math.Pow10(int(math.Floor(math.Log10(bytes))) + 1 - digits)
		if step >= 1 {
			bytes = math.Round(bytes/step) * step
		} else {
			bytes = math.Round(bytes)
		}
	}
	return units.HumanSizeWithPrecision(bytes, digits)
}

// HumanDuration is a time span as Docker shows it, "3 weeks"; what is younger than a
// second, or in the future, is "Less than a second".
func HumanDuration(d time.Duration) string { return units.HumanDuration(d) }

// Ago is how long a time is past, "3 weeks ago"; "N/A" for the zero time, which images
// that are built reproducibly have.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return HumanDuration(now.Sub(t)) + " ago"
}

// ShortID is the first twelve digits of a digest, as Docker shows IDs.
func ShortID(d digest.Digest) string {
	if d.Validate() != nil {
		return truncate(Clean(d.String()), 12)
	}
	return d.Encoded()[:12]
}

// shortDigest is a digest that is still recognised as one: "sha256:0123456789ab".
func shortDigest(d digest.Digest) string {
	if d.Validate() != nil {
		return Clean(d.String())
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
