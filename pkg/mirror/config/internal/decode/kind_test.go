package decode

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/limit"
)

func TestParseTimetable(t *testing.T) {
	const mib = 1 << 20
	at := func(from, to int, bytes int64) limit.Period {
		return limit.Period{From: time.Duration(from) * time.Hour, To: time.Duration(to) * time.Hour, BytesPerSecond: bytes}
	}
	for text, want := range map[string]limit.Timetable{
		"10MiB/s":                             {Otherwise: 10 * mib},
		"10 MB/s":                             {Otherwise: 10_000_000},
		"1.5GiB/s":                            {Otherwise: 3 << 29},
		"unlimited":                           {},
		"08:00-20:00 10MiB/s":                 {Periods: []limit.Period{at(8, 20, 10*mib)}},
		"8:00-20:00 10 MiB/s":                 {Periods: []limit.Period{at(8, 20, 10*mib)}},
		"22:00-06:00 unlimited":               {Periods: []limit.Period{at(22, 6, 0)}},
		"00:00-24:00 1KiB/s":                  {Periods: []limit.Period{at(0, 24, 1024)}},
		"08:00-20:00 10MiB/s, else unlimited": {Periods: []limit.Period{at(8, 20, 10*mib)}},
		"08:00-12:00 1MiB/s,13:00-20:00 2 MiB/s, else 40MiB/s": {Periods: []limit.Period{at(8, 12, mib), at(13, 20, 2*mib)}, Otherwise: 40 * mib},
	} {
		got, err := parseTimetable(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v and %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "10MiB", "10", "0MiB/s", "fast", "08:00-20:00", "08:00-08:00 1MiB/s", "08:00-25:00 1MiB/s", "08:60-09:00 1MiB/s", "24:30-01:00 1MiB/s",
		"else 1MiB/s", "08:00-20:00 1MiB/s else 2MiB/s", "08:00-20:00 1MiB/s, else", "08:00-20:00 1MiB/s, else 1MiB/s, else 2MiB/s", "-1MiB/s",
	} {
		if got, err := parseTimetable(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

func FuzzParseTimetable(f *testing.F) {
	f.Add("08:00-20:00 10MiB/s, else unlimited")
	f.Add("10 MiB/s")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parseTimetable(text)
		if err != nil {
			return
		}
		if !strings.Contains(text, "/s") && !strings.Contains(text, "unlimited") {
			t.Errorf("%q was read as %+v", text, table)
		}
		for _, p := range table.Periods {
			if p.From == p.To || p.From > 24*time.Hour || p.To > 24*time.Hour || p.BytesPerSecond < 0 {
				t.Errorf("%q was read as %+v", text, table)
			}
		}
	})
}
