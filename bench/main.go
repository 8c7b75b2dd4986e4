// Bench measures regsync and the tools that people have today: the same work, between real registries, over a simulated line.
// docs/performance.md explains the rows and has the last table.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/regsync/regsync/e2e/lab"

	"github.com/regsync/regsync/bench/internal/launch"
	"github.com/regsync/regsync/bench/internal/report"
	"github.com/regsync/regsync/bench/internal/row"
	"github.com/regsync/regsync/bench/internal/tool"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == launch.Argument {
		exit(launch.Main(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	rows, tools         string
	pairs               int
	regsync, dir        string
	output, update, add string
	list, strict        bool
	command             string // what the user typed, for the report
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.rows, "rows", "", "`rows` to measure, with commas between them; all if empty")
	f.StringVar(&o.tools, "tools", strings.Join(tool.Names(), ","), "`tools` to run, with commas between them")
	f.IntVar(&o.pairs, "pairs", 0, "measure each row `N` times with each tool; 0 is 3 times, and once for rows that take minutes")
	f.StringVar(&o.regsync, "regsync", "", "the regsync `binary` to measure; built from this checkout if empty")
	f.StringVar(&o.dir, "dir", "", "`folder` for corpora and registries, 8 GB for all rows; the system's temporary folder if empty")
	f.StringVar(&o.output, "o", "", "`file` to write all figures to, as JSON")
	f.StringVar(&o.add, "add", "", "`files`, with commas between them, that -o wrote earlier: their rows are added to the table, except those that are measured now")
	f.StringVar(&o.update, "update", "", "`document` whose table is replaced")
	f.BoolVar(&o.list, "list", false, "list the rows and the tools, and measure nothing")
	f.BoolVar(&o.strict, "strict", false, "fail if something did not arrive, if a command failed, or if regsync needed more requests or bytes than a row allows")
	err := f.Parse(args)
	switch {
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.pairs < 0:
		err = fmt.Errorf("-pairs is %d: it must not be negative", o.pairs)
	}
	o.command = command(f)
	return o, err
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.list {
		fmt.Println("rows:")
		for _, r := range row.All() {
			fmt.Printf("  %-18s %s\n", r.Name, r.Title)
		}
		fmt.Println("tools:", strings.Join(tool.Names(), ", "))
		return nil
	}
	rows, err := choose(o.rows)
	if err != nil {
		return err
	}
	if err := check(o); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "regsync-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &report.Report{Began: time.Now(), Machine: report.ThisMachine(dir), Commands: []string{o.command}}
	runner, err := prepare(ctx, o, dir, r)
	if err != nil {
		return err
	}
	for _, one := range rows {
		result, err := runner.Measure(ctx, one)
		if err != nil { // what was measured before is worth showing
			return errors.Join(err, publish(o, r))
		}
		r.Results = append(r.Results, result)
	}
	if o.strict {
		err = report.Check(r.Results)
	}
	return errors.Join(publish(o, r), err)
}

// check finds mistakes that would show only after the rows were measured.
func check(o options) error {
	for name := range strings.SplitSeq(o.tools, ",") {
		if !slices.Contains(tool.Names(), name) {
			return fmt.Errorf("no tool is called %q; -list shows all", name)
		}
	}
	if err := addEarlier(&report.Report{Machine: report.ThisMachine(cmp.Or(o.dir, os.TempDir()))}, o.add); err != nil {
		return err
	}
	if o.update != "" {
		if _, err := os.Stat(o.update); err != nil {
			return err
		}
	}
	if o.output == "" {
		return nil
	}
	file, err := os.OpenFile(o.output, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func addEarlier(r *report.Report, files string) error {
	if files == "" {
		return nil
	}
	for file := range strings.SplitSeq(files, ",") {
		if err := r.Add(file); err != nil {
			return err
		}
	}
	return nil
}

func publish(o options, r *report.Report) error {
	if err := addEarlier(r, o.add); err != nil {
		return err
	}
	if o.output != "" {
		if err := r.WriteJSON(o.output); err != nil {
			return err
		}
	}
	err := r.WriteTable(os.Stdout)
	if o.update != "" {
		err = errors.Join(err, r.Update(o.update))
	}
	return err
}

// command is what the user typed, without paths of this machine.
func command(f *flag.FlagSet) string {
	shown := "go run ."
	f.Visit(func(set *flag.Flag) {
		switch set.Name {
		case "o", "add", "update", "dir", "regsync":
		default:
			shown += fmt.Sprintf(" -%s=%s", set.Name, set.Value)
		}
	})
	return shown
}

func prepare(ctx context.Context, o options, dir string, r *report.Report) (*row.Runner, error) {
	runner := &row.Runner{Dir: dir, Pairs: o.pairs, Log: os.Stderr}
	var err error
	if runner.Registry, err = lab.BuildRegistry(ctx, dir); err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(o.tools, ",") {
		fmt.Fprintln(os.Stderr, "building", name)
		t, err := tool.Open(ctx, name, dir, o.regsync)
		if err != nil {
			return nil, err
		}
		runner.Tools = append(runner.Tools, t)
		r.Tools = append(r.Tools, report.Tool{Name: t.Name, Version: t.Version, Settings: t.Settings})
	}
	return runner, nil
}

// choose returns the rows of these names, in the order of the table.
func choose(names string) ([]row.Row, error) {
	all := row.All()
	if names == "" {
		return all, nil
	}
	wanted := strings.Split(names, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(r row.Row) bool { return r.Name == name }) {
			return nil, fmt.Errorf("no row is called %q; -list shows all", name)
		}
	}
	return slices.DeleteFunc(all, func(r row.Row) bool { return !slices.Contains(wanted, r.Name) }), nil
}
