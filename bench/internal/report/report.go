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
		runs, failed := runsOf(result, name)
		ratio := "–"
		if known, ok := ratios[name]; ok {
			ratio = fmt.Sprintf("%.2f", known)
		}
		peak := medianOf(runs, func(r row.Run) int64 { return r.PeakMemory })
		memory := mebibytes(peak)
		if together := medianOf(runs, func(r row.Run) int64 { return r.PeakTogether }); together > peak {
			memory += " (" + mebibytes(together) + ")"
		}
		connections := medianOf(runs, func(r row.Run) int { return total(r, func(c link.Counts) int { return c.Connections }) })
		highest := medianOf(runs, func(r row.Run) int { return total(r, func(c link.Counts) int { return c.MostConnections }) })
		tags, wanted := medianOf(runs, func(r row.Run) int { return r.Tags }), medianOf(runs, func(r row.Run) int { return r.Wanted })
		arrived := fmt.Sprintf("%d of %d", tags, wanted)
		if failed > 0 {
			arrived += fmt.Sprintf("; incomplete in %d of %d runs", failed, len(runs))
		}
		fmt.Fprintf(text, "| | %s | %s | %s | %s | %s | %d | %s | %s | %d (%d) | %s |\n", name, seconds(medianOf(runs, wallOf)), ratio,
			seconds(medianOf(runs, func(r row.Run) time.Duration { return r.CPU })), memory, medianOf(runs, Requests),
			megabytes(medianOf(runs, Read)), megabytes(medianOf(runs, Sent)), connections, highest, arrived)
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

// runsOf returns the runs of a tool, and in how many of them something did not arrive, or a command failed.
func runsOf(result row.Result, name string) (runs []row.Run, failed int) {
	for _, run := range result.Runs {
		if run.Tool != name {
			continue
		}
		if runs = append(runs, run); !run.OK() {
			failed++
		}
	}
	return runs, failed
}

func wallOf(run row.Run) time.Duration { return run.Wall }

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

func total[N int | int64](run row.Run, of func(link.Counts) N) N {
	sum := of(run.Source)
	for _, c := range run.Destinations {
		sum += of(c)
	}
	return sum
}

func medianOf[N ~int | ~int64](runs []row.Run, of func(row.Run) N) N {
	var values []N
	for _, run := range runs {
		values = append(values, of(run))
	}
	return median(values)
}

// median sorts values, and returns the middle one, or the mean of the two in the middle.
func median[N ~int | ~int64 | ~float64](values []N) N {
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
		runs, failed := runsOf(result, name)
		if wall := medianOf(runs, wallOf); name != "regsync" && failed == 0 && (best == "" || wall < lowest) {
			best, lowest = name, wall
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

// Check returns what is wrong apart from times: content that did not arrive, commands that failed, and regsync's requests and bytes above
// what its row allows.
func Check(results []row.Result) error {
	var problems []error
	for _, result := range results {
		for _, run := range result.Runs {
			name := result.Row.Name + ", " + run.Tool
			if !run.OK() {
				problems = append(problems, fmt.Errorf("%s: %d of %d tags arrived; %s", name, run.Tags, run.Wanted, run.Problems()))
			}
			if run.Tool != "regsync" {
				continue
			}
			if most := result.Row.MaxRequests; most > 0 && Requests(run) > most {
				problems = append(problems, fmt.Errorf("%s: %d requests, at most %d are allowed", name, Requests(run), most))
			}
			if result.Row.MaxBytes == 0 {
				continue
			}
			// Listings and refusals are not in the limit.
			const beside = 1_000_000
			if most := int64(result.Row.MaxBytes*float64(result.Limit.Read)) + beside; Read(run) > most {
				problems = append(problems, fmt.Errorf("%s: %d bytes read, at most %d are allowed", name, Read(run), most))
			}
			if most := int64(result.Row.MaxBytes * float64(result.Limit.Sent)); Sent(run) > most {
				problems = append(problems, fmt.Errorf("%s: %d bytes sent, at most %d are allowed", name, Sent(run), most))
			}
		}
	}
	return errors.Join(problems...)
}
