package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest/golden"
)

func TestSizes(t *testing.T) {
	for _, test := range []struct {
		bytes        int64
		human, image string
	}{
		{0, "0B", "0B"},
		{999, "999B", "999B"},
		{1234, "1.234kB", "1.23kB"},
		{12_100_000, "12.1MB", "12.1MB"},
		{187_654_321, "187.7MB", "188MB"},
		{999_600_000, "999.6MB", "1GB"},
		{999_960_000, "1GB", "1GB"},
		{5 << 40, "5.498TB", "5.5TB"},
	} {
		if got := HumanSize(test.bytes); got != test.human {
			t.Errorf("HumanSize(%d) = %q, want %q", test.bytes, got, test.human)
		}
		if got := ImageSize(test.bytes); got != test.image {
			t.Errorf("ImageSize(%d) = %q, want %q", test.bytes, got, test.image)
		}
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	var ago strings.Builder
	for _, created := range []time.Time{
		now,
		now.Add(time.Hour), // a clock that is wrong
		now.Add(-90 * time.Second),
		now.Add(-22 * 24 * time.Hour),
		{},
	} {
		fmt.Fprintf(&ago, "%s: %s\n", created.Format(time.DateTime), Ago(created, now))
	}
	golden.Text(t, ago.String())
	for d, want := range map[time.Duration]string{
		0: "0s", 100 * time.Millisecond: "1s", 59 * time.Second: "59s", 60 * time.Second: "1m00s",
		185 * time.Second: "3m05s", 62 * time.Minute: "1h02m", 200 * time.Hour: "8d",
	} {
		if got := clock(d); got != want {
			t.Errorf("clock(%v) = %q, want %q", d, got, want)
		}
	}
	if got := elapsed(3240 * time.Millisecond); got != "3.2s" {
		t.Errorf("elapsed: got %q", got)
	}
	if got := elapsed(59990 * time.Millisecond); got != "1m00s" {
		t.Errorf("elapsed just below a minute: got %q", got)
	}
}

func TestShortID(t *testing.T) {
	d := digest.FromString("x")
	if got := ShortID(d); got != d.Encoded()[:12] {
		t.Errorf("got %q", got)
	}
	if got := ShortID("sha256:\x1b[2J"); got != `sha256:\x1b…` {
		t.Errorf("of a digest that is none: got %q", got)
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		columns     int
		done, total int64
		want        string
	}{
		{12, 0, 40, "[          ]"},
		{12, 20, 40, "[====>     ]"},
		{12, 40, 40, "[==========]"},
		{12, 50, 40, "[==========]"}, // more came than was said
		{12, -5, 40, "[          ]"},
		{12, 0, 0, "[          ]"},
		{10, 1, 1 << 40, "[        ]"},
	} {
		if got := bar(test.columns, test.done, test.total); got != test.want {
			t.Errorf("bar(%d, %d, %d) = %q, want %q", test.columns, test.done, test.total, got, test.want)
		}
	}
}
