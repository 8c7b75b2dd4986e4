// Package launch runs the commands of a tool and measures what they use. Start with Run. The commands are children of a
// process of their own (Main), a second copy of this program: the kernel counts the memory of the parent at the time of the
// fork as used by the child, and this process is large.
package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Batch is what one run of a tool consists of.
type Batch struct {
	Commands [][]string // each with the path of its program first
	Parallel int        // how many run at one time
	Dir      string
	Env      []string // NAME=value; the complete environment
}

// Usage is what a batch used.
type Usage struct {
	Wall time.Duration
	// CPU is the processor time of all processes, of the user and of the system.
	CPU time.Duration
	// PeakMemory is the most memory that was resident in one process, in bytes. PeakTogether is the sum of the peaks of as many
	// processes as ran at one time, the largest ones: no less than what was resident at any moment.
	PeakMemory, PeakTogether int64
	// Failures are the commands that did not exit with 0, and the end of what they printed.
	Failures []string
}

// Argument is the first argument of a process that is to call Main.
const Argument = "launch-and-measure"

// Run runs a batch. When ctx ends, it ends all of its processes.
func Run(ctx context.Context, b Batch) (Usage, error) {
	self, err := os.Executable()
	if err != nil {
		return Usage{}, err
	}
	order, err := json.Marshal(b)
	if err != nil {
		return Usage{}, err
	}
	command := exec.CommandContext(ctx, self, Argument)
	command.Stdin, command.Stderr = bytes.NewReader(order), os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	out, err := command.Output()
	if ctx.Err() != nil {
		return Usage{}, ctx.Err()
	}
	if err != nil {
		return Usage{}, fmt.Errorf("launch %s: %w", b.Commands[0][0], err)
	}
	var usage Usage
	err = json.Unmarshal(out, &usage)
	return usage, err
}

// Main reads a batch, runs it, and writes what it used.
func Main(stdin io.Reader, stdout io.Writer) error {
	var b Batch
	if err := json.NewDecoder(stdin).Decode(&b); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(run(b))
}

func run(b Batch) Usage {
	var mu sync.Mutex
	var usage Usage
	var peaks []int64
	began := time.Now()
	var all sync.WaitGroup
	slots := make(chan struct{}, max(b.Parallel, 1))
	for _, args := range b.Commands {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			cpu, peak, err := one(b, args)
			mu.Lock()
			defer mu.Unlock()
			usage.CPU += cpu
			peaks = append(peaks, peak)
			if err != nil {
				usage.Failures = append(usage.Failures, err.Error())
			}
		})
	}
	all.Wait()
	usage.Wall = time.Since(began)
	slices.SortFunc(peaks, func(x, y int64) int { return int(y - x) })
	for i, peak := range peaks {
		usage.PeakMemory = max(usage.PeakMemory, peak)
		if i < b.Parallel {
			usage.PeakTogether += peak
		}
	}
	return usage
}

func one(b Batch, args []string) (cpu time.Duration, peak int64, err error) {
	var output bytes.Buffer
	command := exec.CommandContext(context.Background(), args[0], args[1:]...) // the process group is killed as a whole
	command.Dir, command.Env = b.Dir, b.Env
	command.Stdout, command.Stderr = &output, &output
	err = command.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, tail(output.String()))
	}
	state := command.ProcessState
	if state == nil {
		return 0, 0, err
	}
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.Join(err, errors.New("no resource usage on this system"))
	}
	return state.UserTime() + state.SystemTime(), usage.Maxrss << 10, err // Linux counts KiB
}

func tail(text string) string {
	const enough = 1000
	text = strings.TrimSpace(text)
	return text[max(0, len(text)-enough):]
}
