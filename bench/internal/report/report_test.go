package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regsync/regsync/bench/internal/launch"
	"github.com/regsync/regsync/bench/internal/link"
	"github.com/regsync/regsync/bench/internal/row"
)

// run is a run that took so many seconds and in which everything arrived.
func run(tool string, pair, seconds int) row.Run {
	return row.Run{
		Tool: tool, Pair: pair,
		Usage:  launch.Usage{Wall: time.Duration(seconds) * time.Second, CPU: time.Second, PeakMemory: 10 << 20, PeakTogether: 20 << 20},
		Source: link.Counts{Requests: map[string]int{"GET": 3}, BodiesDown: 12_000_000, Connections: 2, MostConnections: 1},
		Destinations: []link.Counts{
			{Requests: map[string]int{"PUT": 4, "POST": 1}, BodiesUp: 6_000_000, Connections: 1, MostConnections: 1},
			{Requests: map[string]int{"PUT": 4, "POST": 1}, BodiesUp: 6_000_000, Connections: 1, MostConnections: 1},
		},
		Tags: 5, Wanted: 5,
	}
}

func sample() *Report {
	incomplete := run("skopeo", 0, 1)
	incomplete.Tags, incomplete.Missing = 4, []string{"a tag"}
	return &Report{
		Commands: []string{"go run ."},
		Tools:    []Tool{{"regsync", "v1", "the defaults"}},
		Results: []row.Result{{
			Row:   row.Row{Name: "team-line", Title: "*team*, line A", MaxRequests: 13, MaxBytes: 1},
			Limit: row.Limit{Wall: time.Second, Requests: 10, Read: 12_000_000, Sent: 12_000_000},
			Runs: []row.Run{
				run("regsync", 0, 2), run("crane", 0, 4), run("oras", 0, 20), incomplete,
				run("crane", 1, 8), run("oras", 1, 20), run("regsync", 1, 6),
				run("oras", 2, 20), run("regsync", 2, 8), run("crane", 2, 8),
			},
		}},
	}
}

func TestTable(t *testing.T) {
	var text strings.Builder
	if err := sample().WriteTable(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| regsync | v1 | the defaults |",
		"| *team*, line A | **limit** | 1.00 | | | | 10 | 12 | 12 | | |",
		// The ratios of the pairs to crane are 0.5, 0.75 and 1. That skopeo is faster does not count: it did not copy everything.
		"| | regsync | 6.00 | 0.75 | 1.00 | 10 (20) | 13 | 12 | 12 | 4 (3) | 5 of 5 |",
		"| | crane | 8.00 | 1.00 | 1.00 | 10 (20) | 13 | 12 | 12 | 4 (3) | 5 of 5 |",
		"| | skopeo | 1.00 | – | 1.00 | 10 (20) | 13 | 12 | 12 | 4 (3) | 4 of 5; incomplete in 1 of 1 runs |",
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("the table lacks %q:\n%s", line, text.String())
		}
	}
}

func TestUpdate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "performance.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n" + beginMark + "\nan old table\n" + endMark + "\nafter\n")
	if err := sample().Update(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); !strings.HasPrefix(got, "before\n"+beginMark+"\n") || !strings.HasSuffix(got, endMark+"\nafter\n") ||
		strings.Contains(got, "old") || !strings.Contains(got, "| *team*, line A |") {
		t.Errorf("the document is now:\n%s", got)
	}
	write("no marks")
	if err := sample().Update(file); err == nil {
		t.Error("a document without marks was changed")
	}
}

func TestAdd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	earlier := sample()
	earlier.Results = append(earlier.Results, earlier.Results[0])
	earlier.Results[1].Row.Name = "team-loopback"
	if err := earlier.WriteJSON(file); err != nil {
		t.Fatal(err)
	}
	now := sample()
	now.Results[0].Row.Title = "measured now"
	if err := now.Add(file); err != nil {
		t.Fatal(err)
	}
	if len(now.Results) != 2 || now.Results[0].Row.Name != "team-loopback" || now.Results[1].Row.Title != "measured now" || len(now.Commands) != 2 {
		t.Errorf("%+v", now)
	}
}

func TestCheck(t *testing.T) {
	good := sample().Results[0]
	good.Runs = good.Runs[:3]
	if err := Check([]row.Result{good}); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(r *row.Result){
		"a tag is missing":    func(r *row.Result) { r.Runs[1].Missing = []string{"a tag"} },
		"a command failed":    func(r *row.Result) { r.Runs[1].Failures = []string{"exit status 1"} },
		"a run took too long": func(r *row.Result) { r.Runs[0].Error = "not done" },
		"a request too many":  func(r *row.Result) { r.Runs[0].Source.Requests = map[string]int{"GET": 4} },
		"bytes sent twice":    func(r *row.Result) { r.Runs[0].Destinations[0].BodiesUp++ },
		"bytes read twice":    func(r *row.Result) { r.Runs[0].Source.BodiesDown += 12_000_000 },
	} {
		t.Run(name, func(t *testing.T) {
			bad := sample().Results[0]
			bad.Runs = bad.Runs[:3]
			spoil(&bad)
			if Check([]row.Result{bad}) == nil {
				t.Error("was not noticed")
			}
		})
	}
}
