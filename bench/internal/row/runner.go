package row

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/regsync/regsync/e2e/lab"
	"github.com/regsync/regsync/e2e/storage"

	"github.com/regsync/regsync/bench/internal/launch"
	"github.com/regsync/regsync/bench/internal/link"
	"github.com/regsync/regsync/bench/internal/site"
	"github.com/regsync/regsync/bench/internal/tool"
)

// runTimeout bounds one run of a tool.
const runTimeout = 20 * time.Minute

// Runner measures rows.
type Runner struct {
	Registry string // the program
	Dir      string // for corpora, registries and what the tools write
	Tools    []*tool.Tool
	// Pairs is how often each row is measured; 0 is 3 times, and once for long rows. Each time, all tools run one after the other;
	// the first one of a time is the last one of the next.
	Pairs int
	// Log receives progress messages.
	Log io.Writer

	corpora map[string]*storage.Storage
}

// Run is one run of one tool.
type Run struct {
	Tool string
	Pair int
	launch.Usage

	Source       link.Counts
	Destinations []link.Counts
	// RegistryCPU and BenchCPU are the processor time of the registries and of this program (its links) meanwhile.
	RegistryCPU, BenchCPU time.Duration
	// Tags is how many arrived, of all that were to arrive; Missing is what did not.
	Tags, Wanted int
	Missing      []string
	// Error is why the run was not measured completely; empty if it was.
	Error string
}

// OK reports whether everything arrived, and no command failed.
func (r Run) OK() bool { return r.Error == "" && len(r.Missing) == 0 && len(r.Failures) == 0 }

// Result is a row and its runs.
type Result struct {
	Row   Row
	Limit Limit
	Runs  []Run
}

// Measure measures a row. An error is one of the benchmark itself; one of a tool is in its Run.
func (r *Runner) Measure(ctx context.Context, row Row) (Result, error) {
	result := Result{Row: row}
	c, ok := corpusOf(row.Corpus)
	if !ok {
		return result, fmt.Errorf("row %s: no corpus %q", row.Name, row.Corpus)
	}
	content, err := r.corpus(row.Corpus, c)
	if err != nil {
		return result, err
	}
	result.Limit = row.limit(content, c.byTag)
	w, err := r.workplace(row, content, c.byTag)
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(w.dir)
	gone := map[string]bool{}
	pairs := r.Pairs
	switch {
	case pairs > 0:
	case row.Long:
		pairs = 1
	default:
		pairs = 3
	}
	for pair := range pairs {
		for i := range r.Tools {
			t := r.Tools[(i+pair)%len(r.Tools)]
			if gone[t.Name] {
				continue
			}
			run, err := w.run(ctx, t)
			if err != nil {
				return result, fmt.Errorf("row %s, %s: %w", row.Name, t.Name, err)
			}
			run.Pair = pair
			gone[t.Name] = run.Error != ""
			result.Runs = append(result.Runs, run)
			fmt.Fprintf(r.Log, "%s, pair %d, %s: %.2f s, %d of %d tags %s\n", row.Name, pair+1, t.Name, run.Wall.Seconds(), run.Tags, run.Wanted, run.Problems())
		}
	}
	return result, nil
}

// Problems is what went wrong, empty if nothing did.
func (r Run) Problems() string {
	var problems []string
	if r.Error != "" {
		problems = append(problems, r.Error)
	}
	if len(r.Failures) > 0 {
		problems = append(problems, fmt.Sprintf("%d commands failed, the first: %s", len(r.Failures), r.Failures[0]))
	}
	if len(r.Missing) > 0 {
		problems = append(problems, fmt.Sprintf("%d missing, the first: %s", len(r.Missing), r.Missing[0]))
	}
	return strings.Join(problems, "; ")
}

// corpus makes a corpus, or returns it if it is there.
func (r *Runner) corpus(name string, c corpus) (*storage.Storage, error) {
	if made := r.corpora[name]; made != nil {
		return made, nil
	}
	dir := filepath.Join(r.Dir, "corpus-"+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	fmt.Fprintf(r.Log, "making the corpus %s\n", name)
	s := storage.New(dir)
	c.fill(s)
	if err := s.Err(); err != nil {
		return nil, err
	}
	if r.corpora == nil {
		r.corpora = map[string]*storage.Storage{}
	}
	r.corpora[name] = s
	return s, nil
}

type workplace struct {
	registry string
	row      Row
	content  *storage.Storage
	byTag    bool
	dir      string
	tls      *lab.Materials
	runs     int
	again    string // the destination's folder, in a row with Again; empty in others
}

func (r *Runner) workplace(row Row, content *storage.Storage, byTag bool) (*workplace, error) {
	w := &workplace{registry: r.Registry, row: row, content: content, byTag: byTag}
	var err error
	if w.dir, err = os.MkdirTemp(r.Dir, row.Name+"-"); err != nil {
		return nil, err
	}
	if row.TLS {
		if w.tls, err = lab.NewMaterials(w.dir); err != nil {
			return nil, err
		}
	}
	if row.Again {
		w.again = filepath.Join(w.dir, "again")
		err = errors.Join(os.Mkdir(w.again, 0o755), content.CopyTo(w.again))
	}
	return w, err
}

func (w *workplace) folder() (string, error) {
	w.runs++
	dir := filepath.Join(w.dir, strconv.Itoa(w.runs))
	return dir, os.Mkdir(dir, 0o755)
}

// run runs a tool once, against registries that were just started.
func (w *workplace) run(ctx context.Context, t *tool.Tool) (Run, error) {
	folders := []string{w.again}
	if w.again == "" {
		copies, err := w.folder()
		if err != nil {
			return Run{}, err
		}
		defer os.RemoveAll(copies)
		folders = nil
		for i := range w.row.destinations() {
			dir := filepath.Join(copies, strconv.Itoa(i))
			if err := os.Mkdir(dir, 0o755); err != nil {
				return Run{}, err
			}
			folders = append(folders, dir)
		}
	}
	s, err := site.Open(ctx, site.Options{
		Registry: w.registry, Source: w.content.Dir, Destinations: folders, TLS: w.tls, RefuseMounts: w.row.RefuseMounts,
	})
	if err != nil {
		return Run{}, err
	}
	defer s.Close()
	run, err := w.measure(ctx, t, s)
	if err != nil {
		return Run{}, err
	}
	for _, dir := range folders {
		missing, tags := w.content.Missing(dir)
		run.Missing, run.Tags = append(run.Missing, missing...), run.Tags+tags
		for _, r := range w.content.Repositories {
			run.Wanted += len(r.Tags)
		}
	}
	return run, nil
}

func (w *workplace) measure(ctx context.Context, t *tool.Tool, s *site.Site) (Run, error) {
	job, err := w.job(ctx, t, s)
	if err != nil {
		return Run{}, err
	}
	batch, err := t.Batch(job)
	if err != nil {
		return Run{}, err
	}
	before, err := registryCPU(s)
	if err != nil {
		return Run{}, err
	}
	ours := ownCPU()
	s.Set(w.row.Source, w.row.Destination)
	s.Source.Take()
	for _, d := range s.Destinations {
		d.Take()
	}
	run := Run{Tool: t.Name}
	limited, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	run.Usage, err = launch.Run(limited, batch)
	switch {
	case ctx.Err() != nil:
		return Run{}, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		run.Error = fmt.Sprintf("not done after %s", runTimeout)
		run.Wall = runTimeout
	case err != nil:
		return Run{}, err
	}
	run.Source = s.Source.Take()
	for _, d := range s.Destinations {
		run.Destinations = append(run.Destinations, d.Take())
	}
	after, err := registryCPU(s)
	run.RegistryCPU, run.BenchCPU = after-before, ownCPU()-ours
	return run, err
}

// job makes the job of a tool. If there is nothing to do, and the tool has a memory, it has run before: without delays.
func (w *workplace) job(ctx context.Context, t *tool.Tool, s *site.Site) (tool.Job, error) {
	j := tool.Job{From: s.Source.Host(), To: s.Hosts(), Distant: w.row.Source.RoundTrip > 0}
	for _, r := range w.content.Repositories {
		j.Repositories = append(j.Repositories, tool.Repository{Name: r.Name, Tags: slices.Sorted(maps.Keys(r.Tags)), ByTag: w.byTag})
	}
	if w.tls != nil {
		j.CA = w.tls.CA()
	}
	var err error
	if j.Dir, err = w.folder(); err != nil || w.again == "" || !t.Stateful {
		return j, err
	}
	batch, err := t.Batch(j)
	if err != nil {
		return j, err
	}
	usage, err := launch.Run(ctx, batch)
	if err == nil && len(usage.Failures) > 0 {
		err = errors.New(usage.Failures[0])
	}
	return j, err
}

func registryCPU(s *site.Site) (time.Duration, error) {
	var sum time.Duration
	for _, server := range append([]*site.Server{s.Source}, s.Destinations...) {
		used, err := server.CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

func ownCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
