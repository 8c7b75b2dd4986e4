// Package report turns results into a table in Markdown and into JSON. Start with Report.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/regsync/regsync/bench/internal/link"
	"github.com/regsync/regsync/bench/internal/row"
)

// Tool is a tool, as the report shows it.
type Tool struct{ Name, Version, Settings string }

// Report is everything that one run of the benchmark has found.
type Report struct {
	Began   time.Time
	Machine Machine
	// Commands are what the user typed; several if results of earlier runs were added.
	Commands []string
	Tools    []Tool
	Results  []row.Result
}

// WriteJSON writes the whole report, with each single run, to a file.
func (r *Report) WriteJSON(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// Add adds the results of an earlier report of the same machine, from a file that WriteJSON wrote, for rows that this one does not have.
func (r *Report) Add(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var earlier Report
	if err := json.Unmarshal(text, &earlier); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if earlier.Machine != r.Machine {
		return fmt.Errorf("%s was measured on another machine, or with other storage: %s", file, earlier.Machine.CPU+", "+earlier.Machine.Files)
	}
	for _, t := range earlier.Tools {
		if !slices.ContainsFunc(r.Tools, func(other Tool) bool { return other.Name == t.Name }) {
			r.Tools = append(r.Tools, t)
		}
	}
	for _, result := range earlier.Results {
		if !slices.ContainsFunc(r.Results, func(other row.Result) bool { return other.Row.Name == result.Row.Name }) {
			r.Results = append(r.Results, result)
		}
	}
	position := func(result row.Result) int {
		return slices.IndexFunc(row.All(), func(other row.Row) bool { return other.Name == result.Row.Name })
	}
	slices.SortStableFunc(r.Results, func(x, y row.Result) int { return position(x) - position(y) })
	r.Commands = append(earlier.Commands, r.Commands...)
	return nil
}

// figures are the medians of a tool in a row.
type figures struct {
	wall, cpu            time.Duration
	peak, together       int64
	requests             int
	read, sent           int64
	connections, highest int
	tags, wanted         int
	failed               int // runs in which something did not arrive, or a command failed
	runs                 int
}

// WriteTable writes the machine, the tools and the table.
func (r *Report) WriteTable(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, on %s.\n\n    %s\n\n", r.Began.Format("2 January 2006"), r.Machine, strings.Join(r.Commands, "\n    "))
	fmt.Fprint(&text, "| tool | version | settings |\n|---|---|---|\n")
	for _, t := range r.Tools {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", t.Name, t.Version, t.Settings)
	}
	fmt.Fprint(&text, "\n| work | tool | time, s | × the best peer | CPU, s | peak memory, MiB | requests | MB read | MB sent | connections (at one time) | tags that arrived |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, result := range r.Results {
		writeRow(&text, result)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func writeRow(text *strings.Builder, result row.Result) {
	wall := "–"
	if result.Limit.Wall > 0 {
		wall = seconds(result.Limit.Wall)
	}
	fmt.Fprintf(text, "| %s | **limit** | %s | | | | %d | %s | %s | | |\n", result.Row.Title, wall,
		result.Limit.Requests, megabytes(result.Limit.Read), megabytes(result.Limit.Sent))
	ratios := ratiosToBestPeer(result)
	for _, name := range toolsOf(result) {
		f := figuresOf(result, name)
		ratio := "–"
		if known, ok := ratios[name]; ok {
			ratio = fmt.Sprintf("%.2f", known)
		}
		memory := mebibytes(f.peak)
		if f.together > f.peak {
			memory += " (" + mebibytes(f.together) + ")"
		}
		arrived := fmt.Sprintf("%d of %d", f.tags, f.wanted)
		if f.failed > 0 {
			arrived += fmt.Sprintf("; incomplete in %d of %d runs", f.failed, f.runs)
		}
		fmt.Fprintf(text, "| | %s | %s | %s | %s | %s | %d | %s | %s | %d (%d) | %s |\n", name, seconds(f.wall), ratio,
			seconds(f.cpu), memory, f.requests, megabytes(f.read), megabytes(f.sent), f.connections, f.highest, arrived)
	}
}

func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.2f", d.Seconds())
	}
	return fmt.Sprintf("%.1f", d.Seconds())
}

func megabytes(n int64) string {
	if n > 0 && n < 10_000_000 {
		return fmt.Sprintf("%.1f", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f", float64(n)/1e6)
}

func mebibytes(n int64) string { return fmt.Sprint((n + 1<<20 - 1) >> 20) }

// toolsOf are the tools of a result, in the order of their first runs.
func toolsOf(result row.Result) []string {
	var names []string
	for _, run := range result.Runs {
		if !slices.Contains(names, run.Tool) {
			names = append(names, run.Tool)
		}
	}
	return names
}

func figuresOf(result row.Result, name string) figures {
	var runs []row.Run
	var f figures
	for _, run := range result.Runs {
		if run.Tool == name {
			runs = append(runs, run)
			if !run.OK() {
				f.failed++
			}
		}
	}
	f.runs = len(runs)
	f.wall = medianOf(runs, func(r row.Run) time.Duration { return r.Wall })
	f.cpu = medianOf(runs, func(r row.Run) time.Duration { return r.CPU })
	f.peak = medianOf(runs, func(r row.Run) int64 { return r.PeakMemory })
	f.together = medianOf(runs, func(r row.Run) int64 { return r.PeakTogether })
	f.requests = medianOf(runs, Requests)
	f.read = medianOf(runs, Read)
	f.sent = medianOf(runs, Sent)
	f.connections = medianOf(runs, func(r row.Run) int { return total(r, func(c link.Counts) int { return c.Connections }) })
	f.highest = medianOf(runs, func(r row.Run) int { return total(r, func(c link.Counts) int { return c.MostConnections }) })
	f.tags = medianOf(runs, func(r row.Run) int { return r.Tags })
	f.wanted = medianOf(runs, func(r row.Run) int { return r.Wanted })
	return f
}

// Requests is how many requests a run made, to all registries.
func Requests(run row.Run) int {
	return total(run, func(c link.Counts) int {
		sum := 0
		for _, n := range c.Requests {
			sum += n
		}
		return sum
	})
}

// Read returns the bytes of bodies that a run read from all registries; over TLS, all bytes.
func Read(run row.Run) int64 {
	return total(run, func(c link.Counts) int64 { return c.BodiesDown })
}

// Sent returns the bytes of bodies that a run sent to all registries; over TLS, all bytes.
func Sent(run row.Run) int64 {
	return total(run, func(c link.Counts) int64 { return c.BodiesUp })
}

// total sums over the source and the destinations.
func total[N int | int64](run row.Run, of func(link.Counts) N) N {
	sum := of(run.Source)
	for _, c := range run.Destinations {
		sum += of(c)
	}
	return sum
}

func medianOf[N number](runs []row.Run, of func(row.Run) N) N {
	var values []N
	for _, run := range runs {
		values = append(values, of(run))
	}
	return median(values)
}

type number interface {
	~int | ~int64 | ~float64
}

// median sorts values, and returns the middle one, or the mean of the two in the middle.
func median[N number](values []N) N {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// ratiosToBestPeer divides the time of each tool by that of the fastest tool but regsync in the same pair, and returns the median of
// each tool. The fastest peer is the one with the lowest median of those that completed all runs.
func ratiosToBestPeer(result row.Result) map[string]float64 {
	best := ""
	var lowest time.Duration
	for _, name := range toolsOf(result) {
		if f := figuresOf(result, name); name != "regsync" && f.failed == 0 && (best == "" || f.wall < lowest) {
			best, lowest = name, f.wall
		}
	}
	peer := map[int]time.Duration{}
	for _, run := range result.Runs {
		if run.Tool == best {
			peer[run.Pair] = run.Wall
		}
	}
	all := map[string][]float64{}
	for _, run := range result.Runs {
		if known, ok := peer[run.Pair]; ok && run.OK() {
			all[run.Tool] = append(all[run.Tool], run.Wall.Seconds()/known.Seconds())
		}
	}
	ratios := map[string]float64{}
	for name, values := range all {
		ratios[name] = median(values)
	}
	return ratios
}

// The table of a document lies between these lines.
const (
	beginMark = "<!-- table: begin -->"
	endMark   = "<!-- table: end -->"
)

// Update replaces the table of a document.
func (r *Report) Update(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !found || !closed {
		return fmt.Errorf("%s has no lines %q and %q", file, beginMark, endMark)
	}
	var table strings.Builder
	err = r.WriteTable(&table)
	return errors.Join(err, os.WriteFile(file, []byte(before+beginMark+"\n\n"+table.String()+"\n"+endMark+after), 0o644))
}
